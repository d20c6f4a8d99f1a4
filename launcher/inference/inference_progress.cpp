#include "launcher/inference/inference_progress.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace tessera {

InferenceProgress::InferenceProgress(std::ostream& out, bool terminal, std::string name,
                                     int64_t num_frames)
    : out_(out), terminal_(terminal), name_(std::move(name)), num_frames_(num_frames) {}

InferenceProgress::~InferenceProgress() {
  if (open_) out_ << "\r\x1b[K" << std::flush;
}

void InferenceProgress::show(int64_t frames) {
  const auto now = Clock::now();
  const double pause = std::chrono::duration<double>(now - shown_).count();
  if (pause < (terminal_ ? 0.2 : 10.0)) return;
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - begun_).count();
  const double rate = static_cast<double>(frames) / std::max(seconds, 1e-9);
  const auto left =
      static_cast<long long>(static_cast<double>(num_frames_ - frames) / std::max(rate, 1e-9));
  char text[96];
  std::snprintf(text, sizeof(text), ": %lld/%lld frames  %.3g frames/s  left %lld:%02lld",
                static_cast<long long>(frames), static_cast<long long>(num_frames_), rate,
                left / 60, left % 60);
  if (terminal_)
    out_ << '\r' << name_ << text << "\x1b[K" << std::flush;
  else
    out_ << name_ << text << std::endl;
  open_ = terminal_;
}

}  // namespace tessera
