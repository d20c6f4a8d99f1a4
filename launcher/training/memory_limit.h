#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "launcher/model/vis_model.h"

namespace tessera {

/// in: "11GB", "900 MB", "10.5GiB": a number and MB, GB (powers of 1000), MiB or GiB (of 1024).
/// Throws ConfigError for anything else.
int64_t parse_memory_size(const std::string& text);

/// "2.3 GB".
std::string memory_size_text(int64_t bytes);

/// What one training step took.
inline constexpr int64_t kUnknownPeak = int64_t{1} << 60;  // of a step that had to be given up
struct StepCost {
  double seconds = 0;
  int64_t peak_bytes = 0;
};

struct ChosenStep {
  Recomputed recomputed;
  StepCost cost;
};

/// The fastest step that fits into `limit` bytes, of all choices of parts to recompute; where not
/// even that of all parts fits, with masks of as many instances at a time as do. `measure` runs a
/// step; choices that the peaks of others rule out are not tried. in: most_rows, instances of the
/// clip that is measured. Throws ConfigError with the smallest peak where nothing fits.
ChosenStep choose_recomputed(int64_t limit, int64_t most_rows,
                             const std::function<StepCost(const Recomputed&)>& measure);

/// "nothing", "backbone, masks of 2 instances at a time".
std::string text_of(const Recomputed& recomputed);

}  // namespace tessera
