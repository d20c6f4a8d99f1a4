#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "launcher/model/vis_model.h"
#include "launcher/training/train_options.h"
#include "launcher/weights/safetensors.h"

namespace tessera {

/// The exponential moving average of a model's trained weights, `[train.ema]`. Frozen parameters,
/// buffers and what only training uses have none: they are the model's own wherever averaged
/// weights are used. The average is a function of the weights after each step, so that it is equal
/// on all ranks without a word between them.
class WeightAverage {
 public:
  /// Begins with the weights as they are. `model` must outlive this.
  WeightAverage(const EmaOptions& options, const std::vector<NamedTensor>& model);

  /// Begins anew with the weights as they are.
  void begin();
  /// Takes in the weights after the optimiser step number `iteration`, from 1.
  void update(int64_t iteration);

  /// The averages with the model's names.
  const TensorList& averages() const { return averages_; }
  /// Takes over what averages() gave. Throws DataError listing names and shapes that differ; the
  /// average is untouched then.
  void load(const TensorList& averages);

  /// While it lives, the model has the averaged weights.
  class InModel {
   public:
    explicit InModel(WeightAverage& average) : average_(average) { average_.exchange(); }
    ~InModel() { average_.exchange(); }
    InModel(const InModel&) = delete;
    InModel& operator=(const InModel&) = delete;

   private:
    WeightAverage& average_;
  };

 private:
  void exchange();

  EmaOptions options_;
  std::vector<at::Tensor> parameters_;
  TensorList averages_;              // as parameters_
  std::vector<at::Tensor> tensors_;  // of averages_
};

}  // namespace tessera
