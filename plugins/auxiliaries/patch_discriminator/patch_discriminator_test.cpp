#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include "core/error.h"
#include "core/interfaces/auxiliary.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

constexpr int64_t kDim = 16, kHeight = 64, kWidth = 96;

/// Mask logits that are parameters: a model of nothing else.
class LearntMasks final : public MaskSource {
 public:
  explicit LearntMasks(at::Tensor all) : all_(std::move(all)) {}
  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    return all_[clip].index_select(0, rows);
  }

 private:
  at::Tensor all_;  // [B,Q,T,h,w]
};

struct Scene {
  ClipBatch batch;
  FeaturePyramid pyramid;
  Memory memory;
  at::Tensor tokens, logits;  // what a model would have made of its parameters
  Predictions predictions;
  Targets targets;
  Matches matches;
  std::shared_ptr<Auxiliary> network;

  explicit Scene(const std::string& options = "") {
    at::manual_seed(1);
    const int64_t frames = 2;
    batch.frames = at::randn({2, frames, 3, kHeight, kWidth});
    BuildContext context;
    context.memory.dim = kDim;
    int64_t cells = 0;
    for (const int64_t stride : {8, 16, 32, 64}) {
      const int64_t h = (kHeight + stride - 1) / stride, w = (kWidth + stride - 1) / stride;
      memory.levels.push_back({cells, h, w, stride});
      context.memory.strides.push_back(stride);
      cells += h * w;
    }
    tokens = (0.1 * at::randn({2, frames, cells, kDim})).set_requires_grad(true);
    logits = at::randn({2, 4, frames, kHeight / 4, kWidth / 4}).set_requires_grad(true);
    memory.tokens = tokens;
    LayerPrediction prediction;
    prediction.masks = std::make_shared<LearntMasks>(logits);
    predictions.layers = {prediction};
    for (const int64_t instances : {2, 0}) {  // a clip without instances must work
      ClipTargets target;
      target.labels = at::zeros({instances}, at::kLong);
      target.masks = at::zeros({instances, frames, kHeight, kWidth}, at::kBool);
      if (instances > 0) target.masks.narrow(2, 10, 30).narrow(3, 20, 40).fill_(true);
      target.valid = at::ones({instances, frames}, at::kBool);
      targets.push_back(target);
      matches.push_back({at::arange(instances) + 1, at::arange(instances), target.valid,
                         at::zeros({4, instances})});
    }
    network = test_support::make_plugin<Auxiliary>("patch_discriminator", options, context);
  }
  AuxiliaryInput input() const { return {batch, pyramid, memory, predictions, targets, matches}; }
  static at::Tensor sum(const std::vector<NamedLoss>& losses) {
    at::Tensor total = at::zeros({});
    for (const NamedLoss& loss : losses) total = total + loss.weight * loss.value;
    return total;
  }
  at::Tensor own() { return sum(network->own_losses(input(), {})); }
  at::Tensor model() { return sum(network->model_losses(input(), {})); }
};

TEST(PatchDiscriminator, ItsStepLowersItsLossAndLeavesTheModelAlone) {
  Scene scene;
  torch::optim::Adam optimiser(scene.network->parameters(), torch::optim::AdamOptions(2e-3));
  const double first = scene.own().item<double>();
  for (int step = 0; step < 40; ++step) {
    optimiser.zero_grad();
    scene.own().backward();
    optimiser.step();
  }
  EXPECT_LT(scene.own().item<double>(), 0.8 * first);
  EXPECT_FALSE(scene.tokens.grad().defined());
  EXPECT_FALSE(scene.logits.grad().defined());
}

TEST(PatchDiscriminator, TheModelsStepLowersTheModelsLossAndLeavesItAlone) {
  Scene scene;
  std::vector<at::Tensor> before;
  for (const at::Tensor& parameter : scene.network->parameters())
    before.push_back(parameter.detach().clone());
  torch::optim::Adam optimiser({scene.tokens, scene.logits}, torch::optim::AdamOptions(5e-2));
  const double first = scene.model().item<double>();
  for (int step = 0; step < 10; ++step) {
    optimiser.zero_grad();
    scene.model().backward();
    optimiser.step();
  }
  EXPECT_LT(scene.model().item<double>(), 0.8 * first);
  const auto parameters = scene.network->parameters();
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_FALSE(parameters[i].grad().defined());
    EXPECT_TRUE(at::equal(parameters[i], before[i]));
  }
  // Masks of queries that are not matched are not judged.
  EXPECT_EQ(scene.logits.grad()[0][0].abs().max().item<double>(), 0.0);
  EXPECT_GT(scene.logits.grad()[0][1].abs().max().item<double>(), 0.0);
}

TEST(PatchDiscriminator, ReachesTheEncoderOnlyWhereWanted) {
  Scene scene("through_features = false");
  scene.model().backward();
  EXPECT_FALSE(scene.tokens.grad().defined());
  EXPECT_TRUE(scene.logits.grad().defined());
}

TEST(PatchDiscriminator, WorksWithoutAnyInstance) {
  Scene scene;
  scene.targets[0] = scene.targets[1];
  scene.matches[0] = scene.matches[1];
  EXPECT_EQ(scene.own().item<double>(), 0.0);
  EXPECT_EQ(scene.model().item<double>(), 0.0);
  scene.own().backward();  // of its graph all the same, for ranks that wait
  scene.model().backward();
}

TEST(PatchDiscriminator, RefusesAnEncoderWithoutThreeLevels) {
  BuildContext context;
  context.memory.dim = kDim;
  context.memory.strides = {8, 32};
  EXPECT_THROW(test_support::make_plugin<Auxiliary>("patch_discriminator", "", context),
               ConfigError);
}

}  // namespace
}  // namespace tessera
