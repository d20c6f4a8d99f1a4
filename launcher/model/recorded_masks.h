#pragma once

#include <memory>

#include "core/structures/predictions.h"

namespace tessera {

/// Masks that are computed, whenever it is, in the RECORD_USER_SCOPE "mask_head": they are lazy,
/// and the mask head is done with when losses or inference ask for them.
std::shared_ptr<const MaskSource> recorded(std::shared_ptr<const MaskSource> source);

}  // namespace tessera
