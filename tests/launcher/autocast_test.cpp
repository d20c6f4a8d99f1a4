// Every system's model under autocast: products in bfloat16, everything that leaves it float32.

#include "launcher/model/autocast.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "launcher/experiment.h"
#include "launcher/model/vis_model.h"

namespace tessera {
namespace {

struct System {
  const char* experiment;
  /// Of the gradients' difference. A rounded value may fall on the other side of a ReLU of
  /// SeqFormer's per-instance networks, whose inputs are hundreds of pixels: of six draws of
  /// weights two differed by a quarter, the others by a twentieth.
  double limit = 0.06;
};

void PrintTo(const System& system, std::ostream* out) {
  *out << system.experiment;
}

class Autocast : public testing::TestWithParam<System> {};

/// 2 clips, the second padded on two sides.
ClipBatch generated_clips(int64_t frames) {
  ClipBatch batch;
  batch.frames = at::randn({2, frames, 3, 64, 96});
  batch.padding_mask = at::zeros({2, frames, 64, 96}, at::kBool);
  batch.padding_mask.select(0, 1).narrow(2, 80, 16).fill_(true);
  batch.padding_mask.select(0, 1).narrow(1, 56, 8).fill_(true);
  batch.meta.resize(2);
  for (ClipMeta& meta : batch.meta) {
    meta.height = meta.original_height = 64;
    meta.width = meta.original_width = 96;
  }
  return batch;
}

/// Relative difference in the 2-norm.
double difference(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).norm() / expected.norm().clamp_min(1e-12)).item<double>();
}

/// A shipped experiment's model with weights drawn for the test.
struct Composed {
  explicit Composed(const std::string& name)
      : experiment(load_experiment(
            std::filesystem::path(TESSERA_SOURCE_DIR) / "experiments" / (name + ".toml"), {},
            registry)),
        model((at::manual_seed(4), experiment.model), experiment.clip_facts()),
        batch(generated_clips(experiment.data.num_frames)) {
    model.eval();
  }
  Registry registry{Registry::default_search_paths()};
  Experiment experiment;
  VisModel model;
  ClipBatch batch;
};

/// Of everything that a loss may look at, in the context's type: the gradient of each parameter.
std::vector<at::Tensor> gradients(VisModel& model, const ClipBatch& batch,
                                  const ForwardContext& context) {
  model.zero_grad();
  const VisModel::Output output = model.forward(batch, context);
  const LayerPrediction& last = output.predictions.last();
  at::Tensor loss =
      last.classes.logits.square().mean() + last.masks->logits(1, at::arange(2)).mean();
  if (last.boxes.defined()) loss = loss + last.boxes.square().mean();
  loss.backward();
  std::vector<at::Tensor> found;
  for (const at::Tensor& parameter : model.parameters())
    found.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::Tensor());
  return found;
}

TEST_P(Autocast, GivesNearlyTheFullPrecisionModelInFloat32) {
  Composed composed(GetParam().experiment);
  VisModel& model = composed.model;
  const ClipBatch& batch = composed.batch;
  const at::NoGradGuard no_grad;
  const at::Tensor rows = at::arange(2);
  ForwardContext plain, half;
  half.autocast = at::kBFloat16;
  const VisModel::Output expected = model.forward(batch, plain), found = model.forward(batch, half);
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));

  const auto expect_near = [](const at::Tensor& a, const at::Tensor& b, const char* what) {
    ASSERT_EQ(a.defined(), b.defined()) << what;
    if (!a.defined()) return;
    EXPECT_EQ(a.scalar_type(), at::kFloat) << what;
    EXPECT_LT(difference(a, b), 0.05) << what;
  };
  const LayerPrediction &said = found.predictions.last(), &goal = expected.predictions.last();
  EXPECT_FALSE(said.classes.logits.equal(goal.classes.logits));
  expect_near(said.classes.logits, goal.classes.logits, "classes");
  expect_near(said.boxes, goal.boxes, "boxes");
  expect_near(said.masks->logits(1, rows), goal.masks->logits(1, rows), "masks");
  expect_near(found.memory.tokens, expected.memory.tokens, "memory");
  for (size_t l = 0; l < found.pyramid.levels.size(); ++l)
    expect_near(found.pyramid.levels[l].features, expected.pyramid.levels[l].features, "features");
}

TEST_P(Autocast, GivesNearlyTheFullPrecisionGradientsAlsoWhenActivationsAreRecomputed) {
  Composed composed(GetParam().experiment);
  ForwardContext plain, half;
  half.autocast = at::kBFloat16;
  const auto expected = gradients(composed.model, composed.batch, plain),
             found = gradients(composed.model, composed.batch, half);
  composed.model.recompute_activations({"backbone", "encoder"});
  const auto again = gradients(composed.model, composed.batch, half);
  double squares = 0, wrong = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(found[i].defined(), expected[i].defined());
    ASSERT_EQ(again[i].defined(), expected[i].defined());
    if (!found[i].defined()) continue;
    EXPECT_EQ(found[i].scalar_type(), at::kFloat);
    EXPECT_TRUE(again[i].equal(found[i]));
    squares += expected[i].square().sum().item<double>();
    wrong += (found[i] - expected[i]).square().sum().item<double>();
  }
  EXPECT_GT(wrong, 0);
  EXPECT_LT(std::sqrt(wrong / squares), GetParam().limit);
}

INSTANTIATE_TEST_SUITE_P(Systems, Autocast,
                         testing::Values(System{"smoke/vistr"}, System{"smoke/deformable_vistr"},
                                         System{"smoke/simvtr"}, System{"smoke/mask2former_vis"},
                                         System{"smoke/mssts", 0.3}, System{"smoke/ifc"},
                                         System{"quickstart_seqformer", 0.3},
                                         System{"quickstart_simvtr"}));

}  // namespace
}  // namespace tessera
