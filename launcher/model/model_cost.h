#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/experiment.h"
#include "launcher/model/noise_clip.h"

namespace tessera {

/// What a part of the model holds and what a forward takes of it.
struct PartCost {
  std::string part;  // "backbone", "encoder", ..., "auxiliary.<name>", "loss"
  int64_t parameters = 0;
  std::optional<int64_t> macs;  // multiply-accumulates; none of what only training has
};

struct ModelCost {
  std::vector<PartCost> parts;
  int64_t masks = 0;  // queries whose masks are made in a window, those that inference keeps
  int64_t windows = 1, window = 0;  // that the frames are seen in, and the frames of each

  /// Of the model alone, without what only training has.
  PartCost total() const;
};

/// Composes the experiment's model with random weights and runs it, in evaluation mode, on a video
/// of the given size, window by window and padded as inference does. Parameters that parts share
/// count for the first. See MacCounter for what is counted. Throws ConfigError where the model is
/// made for another number of frames.
ModelCost measure_model_cost(const Experiment& experiment, const ClipSize& size);

/// Tables of parameters and multiply-accumulates, a column for each name, with differences from the
/// first. `names` and `costs` are of one length.
std::string model_cost_table(const std::vector<std::string>& names,
                             const std::vector<ModelCost>& costs, const ClipSize& size);

/// The same as JSON.
std::string model_cost_json(const std::vector<std::string>& names,
                            const std::vector<ModelCost>& costs, const ClipSize& size);

}  // namespace tessera
