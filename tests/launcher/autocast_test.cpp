// Every system's model under autocast: products in bfloat16, everything that leaves it float32.

#include "launcher/model/autocast.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/launcher/composed_system.h"

namespace tessera {
namespace {

using test_support::Composed;
using test_support::difference;
using test_support::gradients;

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
  const LayerPrediction &said = found.last().predictions.last(),
                        &goal = expected.last().predictions.last();
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
  composed.model.recompute_activations({.backbone = true, .encoder = true});
  const auto again = gradients(composed.model, composed.batch, half);
  composed.model.recompute_activations({.masks = true});
  const auto other = gradients(composed.model, composed.batch, half);
  double squares = 0, wrong = 0, reordered = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(found[i].defined(), expected[i].defined());
    ASSERT_EQ(again[i].defined(), expected[i].defined());
    if (!found[i].defined()) continue;
    EXPECT_EQ(found[i].scalar_type(), at::kFloat);
    EXPECT_TRUE(again[i].equal(found[i]));
    // Features' gradients are added in another order, each rounded to bfloat16.
    reordered += (other[i] - found[i]).square().sum().item<double>();
    squares += expected[i].square().sum().item<double>();
    wrong += (found[i] - expected[i]).square().sum().item<double>();
  }
  EXPECT_GT(wrong, 0);
  EXPECT_LT(std::sqrt(reordered / squares), 0.01);
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
