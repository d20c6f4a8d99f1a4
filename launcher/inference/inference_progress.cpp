#include "launcher/inference/inference_progress.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "launcher/event_log.h"

namespace tessera {
namespace {

constexpr double kSecondsALine = 10;

}  // namespace

InferenceProgress::InferenceProgress(std::ostream& out, bool terminal, std::string name,
                                     int64_t num_frames, EventLog& log)
    : out_(out), terminal_(terminal), name_(std::move(name)), num_frames_(num_frames), log_(log) {}

InferenceProgress::~InferenceProgress() {
  if (open_) out_ << "\r\x1b[K" << std::flush;
}

void InferenceProgress::show(int64_t frames) {
  const auto now = Clock::now();
  const auto seconds_since = [now](Clock::time_point then) {
    return std::chrono::duration<double>(now - then).count();
  };
  const bool is_shown = seconds_since(shown_) >= (terminal_ ? 0.2 : kSecondsALine);
  const bool is_logged = seconds_since(logged_) >= kSecondsALine;
  if (!is_shown && !is_logged) return;
  const double seconds = seconds_since(begun_);
  const double rate = static_cast<double>(frames) / std::max(seconds, 1e-9);
  const auto left =
      static_cast<long long>(static_cast<double>(num_frames_ - frames) / std::max(rate, 1e-9));
  char text[96];
  std::snprintf(text, sizeof(text), ": %lld/%lld frames  %.3g frames/s  left %lld:%02lld",
                static_cast<long long>(frames), static_cast<long long>(num_frames_), rate,
                left / 60, left % 60);
  if (is_logged) {
    logged_ = now;
    log_.write(EventLog::Level::info, "progress", name_ + text,
               {{"frames", frames}, {"of", num_frames_}, {"frames_per_second", rate}});
  }
  if (!is_shown) return;
  shown_ = now;
  if (terminal_)
    out_ << '\r' << name_ << text << "\x1b[K" << std::flush;
  else
    out_ << name_ << text << std::endl;
  open_ = terminal_;
}

}  // namespace tessera
