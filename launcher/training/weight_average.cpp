#include "launcher/training/weight_average.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_lerp.h>

#include <map>

#include "core/error.h"
#include "core/structures/shape.h"

namespace tessera {

WeightAverage::WeightAverage(const EmaOptions& options, const std::vector<NamedTensor>& model)
    : options_(options) {
  for (const NamedTensor& tensor : model) {
    if (!tensor.is_parameter || !tensor.tensor.requires_grad() || is_training_only(tensor.name))
      continue;
    parameters_.push_back(tensor.tensor);
    tensors_.push_back(tensor.tensor.detach().clone());
    averages_.emplace_back(tensor.name, tensors_.back());
  }
}

void WeightAverage::begin() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) tensors_[i].copy_(parameters_[i]);
}

void WeightAverage::update(int64_t iteration) {
  if (iteration <= options_.after) return begin();
  const at::NoGradGuard no_grad;
  // average + (1 - decay) * (weights - average): a weight that stands still does not drift, as it
  // would in decay * average + (1 - decay) * weights.
  at::_foreach_lerp_(tensors_, parameters_, 1.0 - options_.decay);
}

void WeightAverage::load(const TensorList& averages) {
  std::map<std::string, at::Tensor> given(averages.begin(), averages.end());
  std::vector<std::string> mistakes;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  for (const auto& [name, tensor] : averages_) {
    const auto found = given.find(name);
    if (found == given.end()) {
      mistakes.push_back(name + " (missing)");
      continue;
    }
    if (found->second.sizes() != tensor.sizes())
      mistakes.push_back(name + " (" + shape_text(found->second.sizes()) + " instead of " +
                         shape_text(tensor.sizes()) + ")");
    copies.emplace_back(tensor, found->second);
    given.erase(found);
  }
  for (const auto& [name, tensor] : given) mistakes.push_back(name + " (unknown)");
  if (!mistakes.empty())
    throw DataError(
        "averaged weights: expected those of the trained parameters, got differences: " +
        join(mistakes) + ".");
  const at::NoGradGuard no_grad;
  for (auto& [tensor, value] : copies) tensor.copy_(value);
}

void WeightAverage::exchange() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor weights = parameters_[i].detach().clone();
    parameters_[i].copy_(tensors_[i]);
    tensors_[i].copy_(weights);
  }
}

}  // namespace tessera
