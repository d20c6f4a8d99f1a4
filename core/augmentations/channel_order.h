#pragma once

#include <array>
#include <utility>

#include "core/structures/random.h"

namespace tessera::augmentations {

/// One of the six orders of R, G and B, all equally likely.
inline std::array<int, 3> draw_channel_order(Random& random) {
  std::array<int, 3> order{0, 1, 2};
  for (int i = 2; i > 0; --i)
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(random.integer(0, i))]);
  return order;
}

}  // namespace tessera::augmentations
