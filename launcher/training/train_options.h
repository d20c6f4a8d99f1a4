#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/schema.h"
#include "launcher/distributed/distributed_options.h"
#include "launcher/training/optimisers/optimiser_rule.h"
#include "launcher/training/schedules/schedule_curve.h"

namespace tessera {

/// `[train.optimiser]`: how a step is made of gradients. Options of the kind stand in the same
/// table.
struct OptimiserOptions {
  KindOf<OptimiserRule> kind{};
  double lr = 1e-4;
  double weight_decay = 1e-4;
  static void describe(Schema<OptimiserOptions>& schema);
};

/// One of `[[train.groups]]`: parameters with a learning rate, weight decay or schedule of their
/// own. With `layer_decay` the rate is times layer_decay^(num_layers - 1 - layer); the layer is the
/// number that the pattern captures, or `layer`.
struct ParameterGroupOptions {
  std::string pattern;
  std::optional<double> lr_factor = std::nullopt;
  std::optional<double> lr = std::nullopt;
  std::optional<double> weight_decay = std::nullopt;
  std::optional<double> layer_decay = std::nullopt;
  std::optional<int64_t> num_layers = std::nullopt;
  std::optional<int64_t> layer = std::nullopt;
  std::optional<std::string> schedule = std::nullopt;
  bool optional = false;
  static void describe(Schema<ParameterGroupOptions>& schema);
};

/// `[train.schedule]`: the factor on every learning rate. Options of the kind stand in the same
/// table.
struct ScheduleOptions {
  KindOf<ScheduleCurve> kind;
  int64_t wait_iterations = 0;
  int64_t warmup_iterations = 0;
  double warmup_factor = 0.001;
  static void describe(Schema<ScheduleOptions>& schema);
};

/// `[train.ema]`: an exponential moving average of the trained weights.
struct EmaOptions {
  double decay = 0.9999;
  int64_t after = 0;
  static void describe(Schema<EmaOptions>& schema);
};

/// `[train]`.
struct TrainOptions {
  int64_t seed = 1;
  int64_t seeds = 1;
  std::optional<int64_t> epochs;
  std::optional<int64_t> iterations;
  int64_t total_batch = 1;
  int64_t accumulation = 1;
  OptimiserOptions optimiser;
  std::vector<ParameterGroupOptions> groups;
  ScheduleOptions schedule;
  TableOf<ScheduleOptions> schedules{};
  std::optional<EmaOptions> ema = std::nullopt;
  double clip_gradients = 0.0;
  std::vector<std::string> frozen;
  std::vector<std::string> frozen_parts{};
  std::string frozen_mode = "eval";
  int64_t checkpoint_every = 1000;
  int64_t keep_last = 2;
  int64_t log_every = 20;
  bool tensorboard = false;
  int64_t evaluate_every = 0;
  std::optional<int64_t> patience = std::nullopt;
  int64_t threads = 0;
  std::string device = "auto";
  bool deterministic = false;
  std::string precision = "float32";
  std::string autocast = "none";
  std::vector<std::string> recompute;
  int64_t mask_rows = 0;
  std::string memory;
  DistributedOptions distributed;
  static void describe(Schema<TrainOptions>& schema);
};

}  // namespace tessera
