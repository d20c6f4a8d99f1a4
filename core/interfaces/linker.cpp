#include "core/interfaces/linker.h"

#include <ATen/ATen.h>

#include "core/matching/assignment.h"

namespace tessera {

at::Tensor Linker::link(const WindowTracks& before, const WindowTracks& next,
                        int64_t overlap) const {
  at::Tensor linked = at::full({before.class_probabilities.size(0)}, -1, at::kLong);
  const at::Tensor costs = cost(before, next, overlap);
  if (!costs.defined() || costs.numel() == 0) return linked;
  const at::Tensor host = costs.to(at::kCPU, at::kDouble).contiguous();
  const auto cost_of = host.accessor<double, 2>();
  for (const auto& [row, column] : assign_minimum_cost(host))
    if (cost_of[row][column] <= largest_cost()) linked[row] = column;
  return linked;
}

}  // namespace tessera
