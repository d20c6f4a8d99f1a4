#pragma once

#include <filesystem>
#include <string>

#include "launcher/training/learner.h"
#include "launcher/training/training_loop.h"

namespace tessera {

/// Where a step failed: what every message of a failed step ends with.
struct FailedStep {
  int64_t iteration = 0;             // from 1
  std::string batch;                 // LossSource::origin of the part or of all parts
  std::filesystem::path checkpoint;  // the last one; empty where there is none
};

/// Throws RuntimeError with every term of a loss that is not finite.
[[noreturn]] void fail_not_finite(const FailedStep& step, double total, const PartialLoss& loss);

/// Throws RuntimeError with the parameters whose gradients are not finite.
[[noreturn]] void fail_gradient(const FailedStep& step, const Learner& learner, double norm,
                                double total);

/// Throws RuntimeError: a diverged model often fails before it has a loss, in the matcher for one.
[[noreturn]] void fail_in_model(const FailedStep& step, const std::string& error);

}  // namespace tessera
