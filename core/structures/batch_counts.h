#pragma once

#include "core/export.h"
#include "core/structures/clip.h"

namespace tessera {

/// What the ground truth of a batch holds: the numbers that losses are divided by. Sums of doubles,
/// so that the mean of several parts' counts is a count, too.
struct TESSERA_API BatchCounts {
  double clips = 0;
  double clips_with_instances = 0;
  double instances = 0;
  double instance_frames = 0;  // instances * frames, absent frames included
  double valid_frames = 0;     // (instance, frame) pairs in which the instance is visible
  double most_instances = 0;   // of one clip

  static BatchCounts of(const Targets& targets);
  /// Counts of both batches together.
  BatchCounts& operator+=(const BatchCounts& other);
};

}  // namespace tessera
