#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

namespace tessera {

class EventLog;

/// The line that shows how far a video is: rewritten in place on a terminal, else a line every ten
/// seconds. A log is told every ten seconds in any case.
class InferenceProgress {
 public:
  /// in: what stands before the numbers; frames of the video.
  InferenceProgress(std::ostream& out, bool terminal, std::string name, int64_t num_frames,
                    EventLog& log);
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
  EventLog& log_;
  Clock::time_point begun_ = Clock::now(), shown_ = begun_, logged_ = begun_;
  bool open_ = false;
};

}  // namespace tessera
