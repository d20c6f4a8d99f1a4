#pragma once

#include <string>
#include <vector>

#include "launcher/model/vis_model.h"
#include "launcher/weights/weights_options.h"

namespace tessera {

/// Throws ConfigError if a recipe that begins with weights (`weights.starts_from`) is started with
/// none and without `weights.from_scratch`. `experiment` is its file, for the command in the
/// message.
void expect_initial_weights(const WeightsOptions& options, const std::string& experiment);

/// Throws ConfigError if a part that training does not change has no loaded weights and
/// `weights.from_scratch` is not set: it would stay random. Such parts are parameters without
/// gradient, those of `frozen` (patterns of train.frozen) and scales and shifts of norms that are
/// buffers.
/// in: names of the tensors that weights were loaded into, in `style`.
void expect_no_random_frozen_part(const VisModel& model, NameStyle style,
                                  const std::vector<std::string>& loaded,
                                  const std::vector<std::string>& frozen,
                                  const WeightsOptions& options);

}  // namespace tessera
