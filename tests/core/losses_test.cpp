#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/feature_loss.h"
#include "core/interfaces/loss.h"
#include "core/losses/criterion.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

class FixedMasks final : public MaskSource {
 public:
  explicit FixedMasks(at::Tensor logits) : logits_(std::move(logits)) {}
  at::Tensor logits(int64_t, const at::Tensor& rows) const override {
    return logits_.index_select(0, rows);
  }

 private:
  at::Tensor logits_;  // [Q,T,h,w]
};

// One clip of two frames, two queries; query 1 is instance 0 (class 2), which frame 1 does not
// show.
struct Scene {
  LayerPrediction prediction;
  Targets targets{1};
  Matches matches{1};
  ForwardContext context;

  explicit Scene(ClassScope scope) {
    prediction.classes.scope = scope;
    prediction.classes.activation = ClassActivation::sigmoid;
    prediction.classes.logits =
        scope == ClassScope::clip ? at::zeros({1, 2, 3}) : at::zeros({1, 2, 2, 3});
    targets[0].labels = at::tensor({int64_t{2}});
    targets[0].boxes = at::zeros({1, 2, 4});
    targets[0].masks = at::zeros({1, 2, 4, 4}, at::kBool);
    targets[0].masks[0][0].narrow(0, 0, 2).fill_(true);  // the upper half, 8 pixels
    targets[0].valid = at::tensor({1, 0}).view({1, 2}).to(at::kBool);
    matches[0].prediction = at::tensor({int64_t{1}});
    matches[0].target = at::tensor({int64_t{0}});
    matches[0].valid = targets[0].valid;
  }
  LossInput input() {
    LossInput input(0, prediction, targets, matches, context);
    input.num_instances = 1;
    input.num_instance_frames = 2;
    input.num_valid_frames = 1;
    return input;
  }
  double value(const std::string& loss, const std::string& options) {
    const LossInput all = input();
    return make_plugin<Loss>(loss, options)->forward(all).item<double>();
  }
};

// At logit 0 the probability is 1/2: a positive costs alpha log(2) / 2^gamma, a negative (1 -
// alpha).
TEST(ClassFocal, WeighsOnePositiveAgainstAllOtherDecisions) {
  const double unit = std::log(2.0) / 4;
  Scene clip(ClassScope::clip);
  EXPECT_NEAR(clip.value("class_focal", ""), (0.25 + 0.75 * 5) * unit, 1e-6);
  Scene frame(ClassScope::frame);  // in frame 1 the matched query is background, too
  EXPECT_NEAR(frame.value("class_focal", ""), (0.25 + 0.75 * 11) * unit, 1e-6);
  EXPECT_NEAR(frame.value("class_focal",
                          "normaliser = \"instance_frames\"\nalpha = 0.5\n"
                          "gamma = 0.0"),
              0.5 * 12 * std::log(2.0) / 2, 1e-6);
}

TEST(ClassFocal, RefusesAHeadWithNoObjectClass) {
  Scene scene(ClassScope::clip);
  scene.prediction.classes.activation = ClassActivation::softmax_no_object;
  EXPECT_THROW(scene.value("class_focal", ""), ConfigError);
}

TEST(MaskDice, CountsAbsentFramesAsToldTo) {
  Scene scene(ClassScope::clip);
  // Probability 1/2 everywhere: 16 pixels a frame, 8 of them wanted in frame 0.
  scene.prediction.masks = std::make_shared<FixedMasks>(at::zeros({2, 2, 4, 4}));
  auto dice = [](double overlap, double said, double wanted) {
    return 1 - (2 * overlap + 1) / (said + wanted + 1);
  };
  const std::string per_instance = "normaliser = \"instances\"\n";
  EXPECT_NEAR(scene.value("mask_dice", per_instance), dice(4, 8, 8), 1e-6);
  EXPECT_NEAR(scene.value("mask_dice", per_instance + "absent_frames = \"empty\""),
              dice(4, 8, 8) + dice(0, 8, 0), 1e-6);
  EXPECT_NEAR(scene.value("mask_dice", per_instance + "over = \"sequence\""), dice(4, 8, 8), 1e-6);
  EXPECT_NEAR(
      scene.value("mask_dice", per_instance + "over = \"sequence\"\nabsent_frames = \"empty\""),
      dice(4, 16, 8), 1e-6);
}

TEST(MaskFocal, TrainsAbsentFramesAsEmptyWhereAsked) {
  Scene scene(ClassScope::clip);
  scene.prediction.masks = std::make_shared<FixedMasks>(at::zeros({2, 2, 4, 4}));
  const double unit = std::log(2.0) / 4;
  const std::string per_instance = "normaliser = \"instances\"\n";
  EXPECT_NEAR(scene.value("mask_focal", per_instance), (0.25 + 0.75) / 2 * unit, 1e-6);
  EXPECT_NEAR(scene.value("mask_focal", per_instance + "absent_frames = \"empty\""),
              (0.25 + 0.75) / 2 * unit + 0.75 * unit, 1e-6);
}

// One clip, one frame of 8 x 8 pixels, cells of 4 x 4; instance 0 of class 1 covers the left half.
struct Cells {
  Memory memory;
  Targets targets{1};
  BuildContext context;

  Cells() {
    context.clip = {1, 2};
    context.memory.dim = 3;
    context.memory.strides = {4};
    memory.tokens = at::zeros({1, 1, 4, 3});
    memory.levels = {{0, 2, 2, 4}};
    targets[0].labels = at::tensor({int64_t{1}});
    targets[0].masks = at::zeros({1, 1, 8, 8}, at::kBool);
    targets[0].masks.slice(3, 0, 4).fill_(true);
    targets[0].valid = at::ones({1, 1}, at::kBool);
  }
  double value(const std::string& options, const std::vector<float>& bias) {
    auto loss = make_plugin<FeatureLoss>("cell_class", options, context);
    torch::NoGradGuard no_grad;
    loss->named_parameters()["classifier.bias"].copy_(at::tensor(bias));
    const ForwardContext forward;
    return loss->forward({memory, targets, forward, [](const at::Tensor& x) { return x; }})
        .item<double>();
  }
};

TEST(CellClass, ReadsTheClassAtEveryCellsCentre) {
  Cells cells;
  // Two cells of class 1 and two of background; biases are log-probabilities.
  const std::vector<float> bias{std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  const double expected = -(2 * std::log(0.5) + 0.3 * 2 * std::log(0.3)) / (2 * 1.0 + 2 * 0.3);
  EXPECT_NEAR(cells.value("", bias), expected, 1e-5);
  EXPECT_NEAR(cells.value("background_weight = 0.0", bias), -std::log(0.5), 1e-5);
}

TEST(CellClass, LeavesPaddedCellsOut) {
  Cells cells;
  cells.memory.padding_mask = at::zeros({1, 1, 4}, at::kBool);
  cells.memory.padding_mask[0][0][0] = true;  // one of the two cells of class 1
  const std::vector<float> bias{std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  const double expected = -(std::log(0.5) + 0.3 * 2 * std::log(0.3)) / (1 * 1.0 + 2 * 0.3);
  EXPECT_NEAR(cells.value("", bias), expected, 1e-5);
}

TEST(Criterion, ModelWithoutDecoderLayersHasItsFeatureLosses) {
  Cells cells;
  static Registry registry(Registry::default_search_paths());
  CriterionOptions options;
  ReadContext reading(&registry);
  schema_of<CriterionOptions>().read(
      &options, parse_toml("[features]\ncells = { plugin = \"cell_class\", weight = 2.0 }", "test"),
      "loss", reading);
  reading.throw_if_failed();
  Criterion criterion(options, cells.context);
  const CriterionResult result =
      criterion.forward(cells.memory, Predictions(), cells.targets, ForwardContext());
  ASSERT_EQ(result.terms.size(), 1u);
  EXPECT_EQ(result.terms[0].name, "cells");
  EXPECT_NEAR(result.total.item<double>(), 2 * result.terms[0].value.item<double>(), 1e-6);
  result.total.backward();
  EXPECT_TRUE(criterion.named_parameters()["features_cells.classifier.weight"].grad().defined());
}

/// Candidates on a row of cells, random points at its right end.
class RowOfPoints final : public PointSource {
 public:
  at::Tensor uniform(const std::string& use, int64_t count, int64_t num_points) override {
    ++calls;
    uses += use + " ";
    const at::Tensor x = use.ends_with("candidates") ? (at::arange(num_points) + 0.5) / 4.0
                                                     : at::full({num_points}, 0.875);
    return at::stack({x, at::full_like(x, 0.125)}, -1).expand({count, -1, -1});
  }
  int calls = 0;
  std::string uses;
};

// Masks are compared at the least certain candidates and at random points: of the row's logits 4,
// 1, -2, 8 those are 1, -2 and the random point's 8.
TEST(MaskTerms, CompareAtUncertainPointsAndShareThem) {
  Scene scene(ClassScope::clip);
  at::Tensor logits = at::zeros({2, 2, 4, 4});
  logits.select(2, 0).copy_(at::tensor({4.0, 1.0, -2.0, 8.0}));
  scene.prediction.masks = std::make_shared<FixedMasks>(logits);
  RowOfPoints points;
  scene.context.points = &points;
  const std::string at_points =
      "normaliser = \"instances\"\npoints = { num_points = 3, oversample_ratio = 1.34, "
      "importance_ratio = 0.7 }\n";
  const at::Tensor said = at::tensor({1.0, -2.0, 8.0}), wanted = at::ones({3});  // the upper half
  const double entropy = at::binary_cross_entropy_with_logits(said, wanted).item<double>();
  const double p = said.sigmoid().sum().item<double>();
  const double dice = 1 - (2 * p + 1) / (p + 3 + 1);
  const LossInput input = scene.input();
  auto value = [&](const std::string& loss, const std::string& options) {
    return make_plugin<Loss>(loss, at_points + options)->forward(input).item<double>();
  };
  EXPECT_NEAR(value("mask_bce", ""), entropy, 1e-6);
  EXPECT_NEAR(value("mask_dice", ""), dice, 1e-6);
  EXPECT_EQ(points.uses, "loss.0.candidates loss.0.random ");  // once for both terms
  // The frame without the instance is trained to be empty where that is asked for.
  const double empty = at::softplus(said).mean().item<double>();
  EXPECT_NEAR(value("mask_bce", "absent_frames = \"empty\""), entropy + empty, 1e-6);
}

TEST(MaskTerms, PointsAreDrawnWithoutASource) {
  Scene scene(ClassScope::clip);
  scene.prediction.masks = std::make_shared<FixedMasks>(at::full({2, 2, 4, 4}, 2.0));
  at::manual_seed(3);
  const double one = scene.value("mask_bce", "points = { num_points = 9 }");
  at::manual_seed(3);
  EXPECT_EQ(scene.value("mask_bce", "points = { num_points = 9 }"), one);
  at::manual_seed(4);
  EXPECT_NE(scene.value("mask_bce", "points = { num_points = 9 }"), one);
}

// Of 4 x 4 pixels in cells of 2 x 2, the pixels (1,1), (1,3), (3,1), (3,3) are the middles: two of
// them in the upper half. The head has a third row and column of cells, beyond the frame.
TEST(MaskTerms, CompareOnTheHeadsOwnCells) {
  Scene scene(ClassScope::clip);
  at::Tensor logits = at::full({2, 2, 3, 3}, -100.0);
  logits[1][0][0].narrow(0, 0, 2).fill_(100.0);
  scene.prediction.masks = std::make_shared<FixedMasks>(logits);
  const std::string cells = "stride = 2\nabsent_frames = \"empty\"\nnormaliser = \"instances\"\n";
  EXPECT_NEAR(scene.value("mask_focal", cells), 0.0, 1e-6);
  EXPECT_NEAR(scene.value("mask_dice", cells + "over = \"sequence\""), 0.0, 1e-6);
  logits[1][0][0].narrow(0, 0, 2).fill_(0.0);  // of 9 cells two are undecided
  EXPECT_NEAR(scene.value("mask_focal", cells), 2 * 0.25 * std::log(2.0) / 4 / 9, 1e-6);
}

TEST(MaskTerms, RefuseAStrideThatIsNotTheHeads) {
  Scene scene(ClassScope::clip);
  scene.prediction.masks = std::make_shared<FixedMasks>(at::zeros({2, 2, 1, 1}));
  EXPECT_THROW(scene.value("mask_focal", "stride = 2"), ConfigError);
  EXPECT_THROW(scene.value("mask_focal", "stride = 2\npoints = {}"), ConfigError);
}

TEST(BoxTerms, TrainAbsentFramesAsEmptyBoxesWhereAsked) {
  Scene scene(ClassScope::clip);
  scene.prediction.boxes = at::full({1, 2, 2, 4}, 0.5);
  scene.targets[0].boxes[0][0].fill_(0.5);
  EXPECT_NEAR(scene.value("box_l1", "normaliser = \"instances\""), 0.0, 1e-6);
  EXPECT_NEAR(scene.value("box_l1", "normaliser = \"instances\"\nabsent_frames = \"empty\""), 2.0,
              1e-6);
  // The hull of the box 0.25..0.75 and of nothing at 0 has an area of 0.5625, the box 0.25.
  EXPECT_NEAR(scene.value("box_giou",
                          "normaliser = \"instances\"\nabsent_frames = \"empty\"\nepsilon = 1e-12"),
              1 + (0.5625 - 0.25) / 0.5625, 1e-6);
}

// One class for the whole clip is right or wrong once, however many frames show the instance.
TEST(ClassError, CountsAClassOfTheClipOnce) {
  Scene scene(ClassScope::clip);
  EXPECT_NEAR(scene.value("class_error", ""), 100.0, 1e-6);
  scene.prediction.classes.logits[0][1][2] = 1.0;
  EXPECT_NEAR(scene.value("class_error", ""), 0.0, 1e-6);
  scene.matches[0].valid.fill_(false);  // absent in the whole clip, matched all the same
  EXPECT_NEAR(scene.value("class_error", ""), 0.0, 1e-6);
}

TEST(CardinalityError, TakesTheLastSigmoidClassForNoObjectOnlyWhenToldTo) {
  Scene scene(ClassScope::clip);
  EXPECT_THROW(scene.value("cardinality_error", ""), ConfigError);
  scene.prediction.classes.logits[0][0][2] = 1.0;  // the last class: "no object"
  EXPECT_NEAR(scene.value("cardinality_error", "reference_last_class = true"), 0.0, 1e-6);
}

}  // namespace
}  // namespace tessera
