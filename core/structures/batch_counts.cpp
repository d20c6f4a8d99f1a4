#include "core/structures/batch_counts.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace tessera {

BatchCounts BatchCounts::of(const Targets& targets) {
  BatchCounts counts;
  for (const ClipTargets& target : targets) {
    const auto instances = static_cast<double>(target.num_instances());
    counts.clips += 1;
    counts.clips_with_instances += instances > 0 ? 1 : 0;
    counts.instances += instances;
    counts.instance_frames += static_cast<double>(target.valid.numel());
    counts.valid_frames += target.valid.sum().item<double>();
    counts.most_instances = std::max(counts.most_instances, instances);
  }
  return counts;
}

BatchCounts& BatchCounts::operator+=(const BatchCounts& other) {
  clips += other.clips;
  clips_with_instances += other.clips_with_instances;
  instances += other.instances;
  instance_frames += other.instance_frames;
  valid_frames += other.valid_frames;
  most_instances = std::max(most_instances, other.most_instances);
  return *this;
}

}  // namespace tessera
