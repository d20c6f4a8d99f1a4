#include "launcher/training/training_failure.h"

#include <cmath>

#include "core/error.h"

namespace tessera {
namespace {

std::string head(const FailedStep& step) {
  return "iteration " + std::to_string(step.iteration) + ": ";
}

std::string tail(const FailedStep& step) {
  return "\n  Batch: " + step.batch + "\n " +
         (step.checkpoint.empty()
              ? " There is no checkpoint yet."
              : " The last good checkpoint is " + step.checkpoint.string() + ".");
}

constexpr const char* kAdvice = " Look at these clips, or lower train.optimiser.lr.";

}  // namespace

void fail_not_finite(const FailedStep& step, double total, const PartialLoss& loss) {
  std::vector<std::string> terms;
  for (const NamedLoss& term : loss.terms)
    terms.push_back(term.name + " = " + std::to_string(term.value.item<double>()) + " (weight " +
                    std::to_string(term.weight) + ")");
  throw RuntimeError(head(step) + "expected a finite loss, got " + std::to_string(total) +
                     ".\n  Terms: " + join(terms) + tail(step) + kAdvice);
}

void fail_gradient(const FailedStep& step, const Learner& learner, double norm, double total) {
  std::vector<std::string> names;
  for (const auto& group : learner.optimiser().groups())
    for (size_t i = 0; i < group.names.size(); ++i)
      if (const at::Tensor& gradient = group.parameters[i].grad();
          gradient.defined() && !std::isfinite(gradient.sum().item<double>()))
        names.push_back(group.names[i]);
  throw RuntimeError(head(step) + "expected finite gradients, got a norm of " +
                     std::to_string(norm) + " with a loss of " + std::to_string(total) +
                     ".\n  Parameters: " + join(names) + tail(step) + kAdvice);
}

void fail_in_model(const FailedStep& step, const std::string& error) {
  throw RuntimeError(head(step) + error + tail(step));
}

}  // namespace tessera
