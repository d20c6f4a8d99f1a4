#include <ATen/ATen.h>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/contract/inputs.h"
#include "launcher/contract/run_parts.h"

namespace tessera::contract {

std::vector<at::Tensor> run_matcher(Matcher& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const LayerPrediction prediction = make_prediction(frames, numbers);
  const Targets targets = make_targets(frames, numbers);
  const Matches matches = part.match(0, prediction, targets, context);
  check(matches.size() == targets.size(), "a match for every clip");
  for (size_t clip = 0; clip < matches.size(); ++clip) {
    ShapeBinding sizes{{'N', targets[clip].num_instances()}, {'Q', kQueries}, {'T', frames}};
    expect_shape(matches[clip].cost, "[Q,N]", "cost", sizes);
    expect_shape(matches[clip].prediction, "[R]", "prediction", sizes);
    expect_shape(matches[clip].target, "[R]", "target", sizes);
    expect_shape(matches[clip].valid, "[R,T]", "valid", sizes);
    check(std::get<0>(at::_unique(matches[clip].prediction)).size(0) == sizes['R'],
          "every prediction at most once");
  }
  return {matches[0].cost};
}

std::vector<at::Tensor> run_loss(Loss& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  LayerPrediction prediction = make_prediction(frames, numbers);
  const Targets targets = make_targets(frames, numbers);
  const Matches matches = make_matches(targets);
  LossInput input(0, prediction, targets, matches, context);
  input.num_instances = 2;
  input.num_instance_frames = 2.0 * static_cast<double>(frames);
  input.num_valid_frames = targets[0].valid.sum().item<double>();
  at::Tensor value;
  try {
    value = part.forward(input);
  } catch (const ConfigError&) {
    // A term may be for one coding of classes; then the other one must do.
    prediction.classes.activation = ClassActivation::sigmoid;
    value = part.forward(input);
  }
  check(value.dim() == 0, "a scalar");
  return {value};
}

std::vector<at::Tensor> run_feature_loss(FeatureLoss& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const Memory memory = make_memory(frames, numbers);
  const Targets targets = make_targets(frames, numbers);
  const at::Tensor value =
      part.forward({memory, targets, context, [](const at::Tensor& x) { return x; }});
  check(value.dim() == 0, "a scalar");
  return {value};
}

std::vector<at::Tensor> run_auxiliary(Auxiliary& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const ClipBatch batch = make_batch(frames, numbers);
  const FeaturePyramid pyramid = make_pyramid(frames, numbers);
  const Memory memory = make_levels(frames, numbers);
  const Predictions predictions{{make_prediction(frames, numbers)}};
  const Targets targets = make_targets(frames, numbers);
  const Matches matches = make_matches(targets);
  const AuxiliaryInput input{batch, pyramid, memory, predictions, targets, matches};
  std::vector<at::Tensor> outputs;
  for (const auto& losses : {part.model_losses(input, context), part.own_losses(input, context)})
    for (const NamedLoss& loss : losses) outputs.push_back(loss.value);
  return outputs;
}

}  // namespace tessera::contract
