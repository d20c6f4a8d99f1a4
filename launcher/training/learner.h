#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "launcher/distributed/gradient_reducer.h"
#include "launcher/training/optimiser.h"
#include "launcher/training/schedule.h"

namespace tessera {

/// The model or an auxiliary network with all that makes its steps.
class Learner {
 public:
  Learner(std::string name, const std::vector<NamedTensor>& tensors,
          const OptimiserOptions& optimiser_options,
          const std::vector<ParameterGroupOptions>& groups, Schedules schedules,
          double clip_gradients, const Communicator& communicator,
          const DistributedOptions& distributed);

  /// "" for the model.
  const std::string& name() const { return name_; }
  Optimiser& optimiser() { return optimiser_; }
  const Optimiser& optimiser() const { return optimiser_; }
  const GradientReducer& reducer() const { return reducer_; }

  /// Gradients of `loss` are added to these parameters and to no others; on the last part of a step
  /// they are averaged over the ranks. in: scalar.
  void backward(at::Tensor loss, bool last);

  /// Clips and steps. out: the norm before clipping; where it is not finite, nothing was changed.
  double step(const ScheduleLength& length, int64_t iteration);

 private:
  std::string name_;
  Optimiser optimiser_;
  std::vector<at::Tensor> parameters_;  // group by group
  std::vector<at::Tensor> inputs_;      // in the model's order
  GradientReducer reducer_;
  Schedules schedules_;
  double clip_gradients_;
};

}  // namespace tessera
