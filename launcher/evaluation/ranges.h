#pragma once

#include <vector>

#include "launcher/evaluation/matching.h"
#include "launcher/evaluation/score.h"

namespace tessera::evaluation {

/// Places in ranges_of; the last three are there for OVIS only.
enum RangeIndex : size_t { kAll, kSmall, kMedium, kLarge, kLight, kModerate, kHeavy };

/// The subsets of ground truth that a protocol scores, in the order of RangeIndex.
std::vector<Range> ranges_of(Protocol protocol);

}  // namespace tessera::evaluation
