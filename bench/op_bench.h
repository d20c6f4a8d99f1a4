#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace tessera::bench {

struct OpBenchOptions {
  bool quick = false;  // few rounds and no long cases: shows that everything runs
  int rounds = 7;
  std::string only;  // one operator's name, or empty for all
  at::Device device = at::kCPU;
};

/// Times every operator against what it replaces, forward and with backward, and prints a line for
/// each. Returns {"what", "device", "threads", "bandwidth", "ratios": {name: opponent / ours},
/// "opponent_seconds": {name: s}, "cases": [...]}; seconds are medians of interleaved rounds.
nlohmann::ordered_json bench_ops(const OpBenchOptions& options);

}  // namespace tessera::bench
