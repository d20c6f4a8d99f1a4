#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

namespace tessera::parity {

/// One compared tensor.
struct Comparison {
  std::string name;
  double difference = 0.0;  // largest absolute one
  double tolerance = 0.0;
  double scale = 0.0;  // the largest magnitude that is stored
  bool passed = false;
  bool in_double = false;  // computed in float64, because float32 left the gradient undecided
  std::string problem;     // why it could not be compared, or ""
};

/// What decides a tolerance besides the tensor itself.
struct ToleranceRules {
  std::optional<double> rounding;  // the case's numerics.rounding of this tensor
  double share_of_scale = 1e-4;    // of max |expected| otherwise
  std::optional<double> scale;     // in place of max |expected|: a signed sum may cancel to nothing
                                   // but rounding, and its scale is the sum of magnitudes
  int64_t pixels = 0;              // > 0: counts of pixels of a map with so many; 1e-4 may differ
  bool masks = false;              // thresholded masks: 1e-4 of the pixels may differ
};

/// Leading axes of size 1 may be missing on either side: a case may be stored without its batch.
/// Compares element by element: integers exactly, pixel counts within 1e-4 of the pixels, masks by
/// the part of their pixels that differ, floats within 4 x rounding where given, else a share of
/// the expected tensor's scale. NaN never passes.
Comparison compare(const std::string& name, const at::Tensor& ours, const at::Tensor& expected,
                   const ToleranceRules& rules);

}  // namespace tessera::parity
