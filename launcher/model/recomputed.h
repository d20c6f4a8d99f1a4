#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

/// Parts whose activations are computed a second time in backward instead of being kept: the same
/// gradients with less memory and more time. Of frozen parts nothing is recomputed.
struct Recomputed {
  bool backbone = false, encoder = false;
  bool decoder = false;  // of all stages whose decoder recomputes its segments
  bool masks = false;
  int64_t mask_rows = 0;  // instances whose masks are computed at a time; 0: all

  /// in: names of the parts. Throws ConfigError for another name.
  static Recomputed parts(const std::vector<std::string>& names, int64_t mask_rows = 0);
};

}  // namespace tessera
