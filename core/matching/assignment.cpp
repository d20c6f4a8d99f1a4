#include "core/matching/assignment.h"

#include <ATen/ATen.h>

namespace tessera {

std::vector<std::pair<int64_t, int64_t>> assign_minimum_cost(const at::Tensor& cost) {
  const at::Tensor dense = cost.detach().to(at::kCPU, at::kDouble).contiguous();
  return assign_minimum_cost(dense.const_data_ptr<double>(), dense.size(0), dense.size(1));
}

}  // namespace tessera
