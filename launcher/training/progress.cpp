#include "launcher/training/progress.h"

#include <algorithm>
#include <cstdio>

#include "launcher/event_log.h"

namespace tessera {
namespace {

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  char text[64];
  std::snprintf(text, sizeof(text), "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                whole % 60);
  return text;
}

}  // namespace

Progress::~Progress() {
  if (open_) out_ << std::endl;
}

void Progress::show(const StepMetrics& metrics) {
  const double left = static_cast<double>(iterations_ - metrics.iteration) * metrics.seconds;
  const double data_share = metrics.seconds > 0 ? metrics.data_seconds / metrics.seconds : 0;
  char text[256];
  std::snprintf(
      text, sizeof(text),
      "iteration %lld/%lld  epoch %lld  loss %.4g  lr %.3g  %.2f it/s  data %.0f%%  left %s",
      static_cast<long long>(metrics.iteration), static_cast<long long>(iterations_),
      static_cast<long long>(metrics.epoch), metrics.total, metrics.lr,
      metrics.seconds > 0 ? 1 / metrics.seconds : 0.0, 100 * data_share, duration(left).c_str());
  if (terminal_)
    out_ << '\r' << text << "\x1b[K" << std::flush;
  else
    out_ << text << std::endl;
  open_ = terminal_;
  if (log_)
    log_->write(EventLog::Level::info, "iteration", text,
                {{"iteration", metrics.iteration},
                 {"iterations", iterations_},
                 {"epoch", metrics.epoch},
                 {"loss", metrics.total},
                 {"lr", metrics.lr},
                 {"seconds", metrics.seconds},
                 {"data_seconds", metrics.data_seconds},
                 {"seconds_left", left}});
}

void Progress::show_validation(int64_t iteration, const std::vector<evaluation::Stat>& stats,
                               double seconds) {
  if (open_) out_ << '\n';
  open_ = false;
  std::string line =
      "validation at iteration " + std::to_string(iteration) + " after " + duration(seconds);
  for (size_t i = 0; i < std::min<size_t>(stats.size(), 3); ++i) {  // AP, AP50, AP75
    char text[64];
    std::snprintf(text, sizeof(text), "  %s %.1f", stats[i].name.c_str(), 100 * stats[i].value);
    line += text;
  }
  out_ << line << std::endl;
  if (!log_) return;
  EventLog::Fields fields{{"iteration", iteration},
                          {"run_seconds", seconds},
                          {"validation", EventLog::Fields::object()}};
  for (const evaluation::Stat& stat : stats) fields["validation"][stat.name] = stat.value;
  log_->write(EventLog::Level::info, "validation", line, fields);
}

}  // namespace tessera
