#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/schema.h"
#include "launcher/distributed/distributed_options.h"

namespace tessera {

/// `[train.optimiser]`: how a step is made of gradients.
struct OptimiserOptions {
  std::string kind = "adamw";
  double lr = 1e-4;
  std::vector<double> betas{0.9, 0.999};
  double eps = 1e-8;
  bool rectify = true;
  double momentum = 0.9;
  double weight_decay = 1e-4;
  static void describe(Schema<OptimiserOptions>& schema);
};

/// One of `[[train.groups]]`: parameters with a learning rate or weight decay of their own.
struct ParameterGroupOptions {
  std::string pattern;
  std::optional<double> lr_factor = std::nullopt;
  std::optional<double> lr = std::nullopt;
  std::optional<double> weight_decay = std::nullopt;
  bool optional = false;
  static void describe(Schema<ParameterGroupOptions>& schema);
};

/// `[train.schedule]`: the factor on every learning rate. Epochs, where `train.epochs` states the
/// length, iterations where `train.iterations` does, are the unit of `drops`.
struct ScheduleOptions {
  std::string kind = "constant";
  std::vector<double> drops{};
  double factor = 0.1;
  int64_t warmup_iterations = 0;
  double warmup_factor = 0.001;
  double minimum_factor = 0.0;
  static void describe(Schema<ScheduleOptions>& schema);
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
  double clip_gradients = 0.0;
  std::vector<std::string> frozen;
  int64_t checkpoint_every = 1000;
  int64_t keep_last = 2;
  int64_t log_every = 20;
  bool tensorboard = false;
  int64_t evaluate_every = 0;
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
