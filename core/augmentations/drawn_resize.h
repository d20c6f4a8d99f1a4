#pragma once

#include <cstdint>
#include <vector>

#include "core/interfaces/augmentation.h"

namespace tessera::augmentations {

/// Resizes to one of `short_sides`, all equally likely. Needs at least one; `max_side` 0: no limit.
inline void resize_to_drawn(ClipPlan& clip, const std::vector<int64_t>& short_sides,
                            int64_t max_side, Random& random) {
  const int64_t choice = random.integer(0, static_cast<int64_t>(short_sides.size()) - 1);
  clip.resize(short_sides[static_cast<size_t>(choice)], max_side);
}

}  // namespace tessera::augmentations
