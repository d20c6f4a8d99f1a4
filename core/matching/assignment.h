#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "core/export.h"
#include "core/matching/minimum_cost.h"

namespace tessera {

/// assign_minimum_cost for a tensor [Q,N] of any floating type on any device; copied to the CPU
/// once.
TESSERA_API std::vector<std::pair<int64_t, int64_t>> assign_minimum_cost(const at::Tensor& cost);

}  // namespace tessera
