#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "launcher/parity/case.h"
#include "launcher/parity/compare.h"
#include "launcher/parity/table.h"

namespace tessera::parity {

/// Everything that a tensor rule may name, filled as it is computed:
///   probe.<name>; layer.<i|last>.{class_logits, boxes, mask_logits}, layer.last.masks (of the
///   first clip); match.<i|last>[.<clip>].{cost, prediction, target, frame_prediction,
///   frame_target}; loss.<term>, loss.total; gradient.<canonical name>; tracks.{rows, category,
///   score, frame_score, mask_area, masks}.
using Sources = std::map<std::string, at::Tensor>;

/// Compares every stored tensor by the table's rules. `variants` has the sources of the case itself
/// under "" and those of each [[variant]].
std::vector<Comparison> compare_outputs(const Case& parity_case, const Table& table,
                                        const std::map<std::string, Sources>& variants);

}  // namespace tessera::parity
