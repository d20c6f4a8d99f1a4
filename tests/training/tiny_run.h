#pragma once
// Short trainings of a tiny model, for tests of the training loop.

#include <ATen/ATen.h>

#include <functional>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "launcher/training/training_loop.h"
#include "tests/training/temporary_folder.h"
#include "tests/training/tiny_model.h"

namespace tessera::test_support {

/// Regression on samples that are a function of their position, with dropout.
class TinySource : public LossSource {
 public:
  TinySource(const TinyModel& model, int64_t part_size, int64_t position, int64_t parts = 1)
      : model_(model), part_size_(part_size), parts_(parts), position_(position) {}

  void fetch() override {
    first_ = position_;
    position_ += parts_ * part_size_;
  }
  void prepare(const std::function<void(int64_t)>&) override {}
  PartialLoss compute(int64_t part) override {
    const int64_t first = first_of(part);
    std::vector<at::Tensor> rows;
    for (int64_t i = 0; i < part_size_; ++i)
      rows.push_back(at::arange(3, at::kFloat) * static_cast<double>((first + i) % 7) - 2.0);
    const at::Tensor clips = at::stack(rows);
    const at::Tensor x = at::dropout(clips, dropout, true);
    const at::Tensor error = (model_.forward(x) - clips.narrow(1, 0, 2)).square().mean();
    at::Tensor value = first == poisoned ? error * std::numeric_limits<double>::quiet_NaN() : error;
    if (first == steep) value = error.detach() + (error - error.detach()).sqrt();
    if (first == broken) throw RuntimeError("matching cost: expected finite values, got nan.");
    return {
        value, {{"error", value, 1.0}, {"shown", error.detach() * 2, 0.0}}, first / 7, part_size_};
  }
  std::vector<uint64_t> random_key(int64_t part) const override {
    return {static_cast<uint64_t>(first_of(part))};
  }
  std::string origin(int64_t part) const override {
    return "video 3 'cat' (sample " + std::to_string(first_of(part)) + ")";
  }
  double dropout = 0.3;
  int64_t poisoned = -1;  // position whose loss is NaN
  int64_t steep = -1;     // position whose gradient is infinite
  int64_t broken = -1;    // position whose forward pass fails

 private:
  int64_t first_of(int64_t part) const { return first_ + part * part_size_; }

  const TinyModel& model_;
  int64_t part_size_, parts_, position_, first_ = 0;
};

inline TrainOptions tiny_options() {
  TrainOptions options;
  options.iterations = 10;
  options.total_batch = 4;
  options.optimiser.lr = 0.05;
  options.schedule = {.kind = "cosine", .warmup_iterations = 3};
  options.clip_gradients = 0.5;
  options.checkpoint_every = 3;
  options.log_every = 2;
  return options;
}

/// Training of a TinyModel on such samples.
struct TinyRun {
  TinyModel model;
  TrainSettings settings;
  TrainOptions train = tiny_options();

  TinyRun() {
    settings.samples_per_epoch = 7;
    settings.experiment = "[train]\n";
  }
  TrainResult go(
      const RunFolder& folder, const std::string& resume = "",
      const std::function<void(TinySource&)>& change = [](TinySource&) {}) {
    settings.resume = find_checkpoint(folder, resume, std::cerr);
    const int64_t position =
        settings.resume ? read_train_state(*settings.resume).consumed_samples : 0;
    TinySource source(model, train.total_batch / train.accumulation, position, train.accumulation);
    change(source);
    return run_training(train, model.named(), source, folder, settings);
  }
};

/// The lines of metrics.jsonl without the times.
inline std::vector<nlohmann::json> metrics(const RunFolder& folder) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(read_file(folder.metrics()));
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(nlohmann::json::parse(line));
    lines.back().erase("seconds");
    lines.back().erase("data_seconds");
  }
  return lines;
}

}  // namespace tessera::test_support
