#include "core/nn/head_direction.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tessera {

std::array<double, 2> head_direction(int64_t head, int64_t num_heads) {
  const double angle =
      2 * std::numbers::pi * static_cast<double>(head) / static_cast<double>(num_heads);
  const double x = std::cos(angle), y = std::sin(angle);
  const double scale = std::max(std::abs(x), std::abs(y));
  return {x / scale, y / scale};
}

}  // namespace tessera
