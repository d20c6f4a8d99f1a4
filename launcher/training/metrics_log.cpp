#include "launcher/training/metrics_log.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

[[noreturn]] void cannot_write(const fs::path& file, const std::string& reason) {
  throw RuntimeError(file.string() + ": expected a file that can be written, got '" + reason +
                     "'. Check the disk and the permissions.");
}

/// Bytes of the whole lines up to `last_iteration`.
uint64_t bytes_to_keep(const fs::path& file, int64_t last_iteration) {
  std::ifstream stream(file, std::ios::binary);
  std::string line;
  uint64_t kept = 0;
  for (int64_t number = 1; std::getline(stream, line) && !stream.eof(); ++number) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("iteration") || !json["iteration"].is_number_integer())
      throw DataError(file.string() + ":" + std::to_string(number) +
                      ": expected a JSON object with an iteration, got another line. Move the file "
                      "away to go on.");
    if (json["iteration"].get<int64_t>() > last_iteration) break;
    kept += line.size() + 1;
  }
  return kept;
}

}  // namespace

MetricsLog::MetricsLog(fs::path file, int64_t last_iteration, bool for_tensorboard)
    : file_(std::move(file)) {
  std::error_code error;
  if (fs::exists(file_, error)) {
    fs::resize_file(file_, bytes_to_keep(file_, last_iteration), error);
    if (error) cannot_write(file_, error.message());
  }
  stream_.open(file_, std::ios::binary | std::ios::app);
  if (!stream_) cannot_write(file_, std::strerror(errno));
  if (for_tensorboard) tensorboard_.emplace(file_.parent_path(), last_iteration + 1);
}

void MetricsLog::write(const StepMetrics& metrics) {
  Json json{{"iteration", metrics.iteration},
            {"epoch", metrics.epoch},
            {"lr", metrics.lr},
            {"total", metrics.total},
            {"terms", Json::object()},
            {"grad_norm", metrics.grad_norm},
            {"seconds", metrics.seconds},
            {"data_seconds", metrics.data_seconds}};
  for (const auto& [name, value] : metrics.terms) json["terms"][name] = value;
  write_line(json.dump());
  if (!tensorboard_) return;
  TensorBoardLog::Scalars scalars = {{"train/total", metrics.total},
                                     {"train/learning_rate", metrics.lr},
                                     {"train/gradient_norm", metrics.grad_norm},
                                     {"time/step_seconds", metrics.seconds},
                                     {"time/data_seconds", metrics.data_seconds}};
  for (const auto& [name, value] : metrics.terms) scalars.emplace_back("loss/" + name, value);
  tensorboard_->write(metrics.iteration, scalars);
}

void MetricsLog::write_validation(int64_t iteration, const std::vector<evaluation::Stat>& stats,
                                  double seconds, std::optional<int64_t> validations_since_best,
                                  bool stopped) {
  Json json{{"iteration", iteration}, {"validation", Json::object()}, {"seconds", seconds}};
  for (const evaluation::Stat& stat : stats) json["validation"][stat.name] = stat.value;
  if (validations_since_best) json["validations_since_best"] = *validations_since_best;
  if (stopped) json["stopped"] = "patience";
  write_line(json.dump());
  if (!tensorboard_) return;
  TensorBoardLog::Scalars scalars;
  for (const evaluation::Stat& stat : stats)
    if (stat.value != evaluation::kUndefined)
      scalars.emplace_back("validation/" + stat.name, stat.value);
  tensorboard_->write(iteration, scalars);
}

void MetricsLog::write_line(const std::string& line) {
  stream_ << line + "\n" << std::flush;
  if (!stream_) cannot_write(file_, std::strerror(errno));
}

}  // namespace tessera
