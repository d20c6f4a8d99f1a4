#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "launcher/data/frame_source.h"
#include "launcher/inference/windows.h"

namespace tessera {

/// Another source's frames, of which the last ones stay in memory: a video file that is read
/// backwards, as overlapping windows do, decodes from its start.
class RecentFrames : public data::FrameSource {
 public:
  /// in: count, how many frames stay, 0 or more.
  RecentFrames(std::shared_ptr<data::FrameSource> source, int64_t count)
      : source_(std::move(source)), count_(count) {}

  at::Tensor read(int64_t index) override {
    const std::lock_guard lock(mutex_);
    if (const auto found = kept_.find(index); found != kept_.end()) return found->second;
    at::Tensor frame = source_->read(index);
    kept_.emplace(index, frame);
    kept_.erase(kept_.begin(), kept_.upper_bound(index - count_));
    return frame;
  }

 private:
  std::shared_ptr<data::FrameSource> source_;
  int64_t count_;
  std::mutex mutex_;
  std::map<int64_t, at::Tensor> kept_;  // by index
};

/// The most frames that a window shares with the one before it.
inline int64_t most_shared_frames(const std::vector<Window>& windows) {
  int64_t most = 0;
  for (size_t i = 1; i < windows.size(); ++i)
    most = std::max(most, windows[i - 1].start + windows[i - 1].length - windows[i].start);
  return most;
}

}  // namespace tessera
