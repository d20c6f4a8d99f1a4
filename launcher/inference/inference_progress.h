#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

namespace tessera {

/// The line that shows how far a video is: rewritten in place on a terminal, else a line every ten
/// seconds.
class InferenceProgress {
 public:
  /// in: what stands before the numbers; frames of the video.
  InferenceProgress(std::ostream& out, bool terminal, std::string name, int64_t num_frames);
  /// Clears the rewritten line, so that what follows (an error, too) stands on its own.
  ~InferenceProgress();
  InferenceProgress(const InferenceProgress&) = delete;
  InferenceProgress& operator=(const InferenceProgress&) = delete;

  void show(int64_t frames);

 private:
  using Clock = std::chrono::steady_clock;

  std::ostream& out_;
  bool terminal_;
  std::string name_;
  int64_t num_frames_;
  Clock::time_point begun_ = Clock::now(), shown_ = Clock::now();
  bool open_ = false;
};

}  // namespace tessera
