#pragma once

#include <memory>
#include <string>

#include "core/interfaces/part.h"
#include "core/structures/predictions.h"

namespace tessera {

/// Masks that are computed, whenever it is, in the PartScope `part`: they are lazy, and the mask
/// head is done with when losses or inference ask for them. `context` lives as long as they do.
std::shared_ptr<const MaskSource> recorded(std::shared_ptr<const MaskSource> source,
                                           std::string part,
                                           std::shared_ptr<const ForwardContext> context);

}  // namespace tessera
