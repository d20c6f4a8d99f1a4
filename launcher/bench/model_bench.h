#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "launcher/bench/bench_clip.h"
#include "launcher/experiment.h"

namespace tessera::bench {

struct ModelBenchOptions {
  ClipSize clip{4, 300, 533};
  int64_t instances = 4;  // targets of the training step
  int rounds = 3;
  bool inference = true, training = true;
  at::Device device = at::kCPU;
};

/// What one round took.
struct Round {
  double seconds = 0;
  std::map<std::string, double> parts;  // their sum is less than `seconds`: the rest is "other"
};

/// Medians of seconds and of each part; a part that some rounds did not have counts as 0 there.
/// "other" is what the median round took beside its parts, at least 0.
Round median_round(const std::vector<Round>& rounds);

/// Times an experiment's model, weights as drawn: whole-video inference as `tessera infer` does it,
/// from decoded frames to run-length masks, and training steps (forward, criterion, backward, clip,
/// optimiser) on one clip. `experiments` are the same model in other types, by the name of the type
/// (the first is what the others' outputs are compared with); rounds take them in turn. Prints a
/// line for each and returns {"device", "threads", "clip", "parameters", "inference":
/// {type: {"seconds", "parts", "peak_bytes", "start_bytes"}}, "training": likewise, "difference":
/// {type: {...}}}. Throws RuntimeError where the system tells no memory.
nlohmann::ordered_json bench_model(
    const std::vector<std::pair<std::string, Experiment>>& experiments,
    const ModelBenchOptions& options);

}  // namespace tessera::bench
