#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/config/toml_reader.h"
#include "core/interfaces/build_context.h"
#include "core/interfaces/matcher.h"
#include "core/plugin/registry.h"

namespace tessera {
namespace {

std::shared_ptr<Matcher> make_matcher(const std::string& options) {
  static Registry registry(Registry::default_search_paths());
  PluginOf<Matcher> choice{"sequence"};
  ReadContext reading(&registry);
  config_detail::read_plugin(choice, "matcher", parse_toml(options, "test"), "matcher", reading);
  reading.throw_if_failed();
  return BuildContext().make(choice);
}

// Two slots, two frames; slot 1 sits on instance 0 and slot 0 on instance 1, which is absent in
// frame 0.
struct Scene {
  LayerPrediction prediction;
  Targets targets;
  Scene() {
    prediction.classes.logits = at::zeros({1, 2, 2, 3});
    prediction.classes.scope = ClassScope::frame;
    const at::Tensor a = at::tensor({0.2, 0.2, 0.1, 0.1}), b = at::tensor({0.7, 0.7, 0.2, 0.2});
    prediction.boxes = at::stack({b, a}).expand({1, 2, 2, 4}).clone();
    ClipTargets target;
    target.labels = at::tensor({int64_t{0}, int64_t{1}});
    target.boxes = at::stack({a, b}).unsqueeze(1).repeat({1, 2, 1});
    target.boxes[1][0].zero_();
    target.valid = at::ones({2, 2}, at::kBool);
    target.valid[1][0] = false;
    target.masks = at::zeros({2, 2, 4, 4}, at::kBool);
    targets = {target};
  }
};

TEST(SequenceMatcher, TrainsTheFramesOfTheAssignedInstance) {
  Scene scene;
  const ClipMatch match = make_matcher("")->match(0, scene.prediction, scene.targets, {}).at(0);
  EXPECT_TRUE(at::equal(match.prediction, at::tensor({int64_t{0}, int64_t{1}})));
  EXPECT_TRUE(at::equal(match.target, at::tensor({int64_t{1}, int64_t{0}})));
  EXPECT_TRUE(at::equal(match.valid, scene.targets[0].valid.index_select(0, match.target)));
  const ClipMatch reference = make_matcher("reference_valid_flags = true")
                                  ->match(0, scene.prediction, scene.targets, {})
                                  .at(0);
  EXPECT_TRUE(at::equal(reference.valid, scene.targets[0].valid));  // the reference's fault
}

TEST(SequenceMatcher, CountsOrIgnoresAbsentFrames) {
  Scene scene;
  const std::string only_l1 = "class_weight = 0.0\nbox_l1_weight = 1.0\n";
  const at::Tensor ignored = make_matcher(only_l1 + "absent_frames = \"ignore\"")
                                 ->match(0, scene.prediction, scene.targets, {})
                                 .at(0)
                                 .cost;
  EXPECT_NEAR(ignored[0][1].item<double>(), 0.0, 1e-6);  // the frame with the instance fits exactly
  const at::Tensor counted = make_matcher(only_l1 + "absent_frames = \"count\"")
                                 ->match(0, scene.prediction, scene.targets, {})
                                 .at(0)
                                 .cost;
  EXPECT_NEAR(counted[0][1].item<double>(), 0.5 * (0.7 + 0.7 + 0.2 + 0.2) / 4,
              1e-6);  // against a zero box
}

class FixedMasks final : public MaskSource {
 public:
  explicit FixedMasks(at::Tensor logits) : logits_(std::move(logits)) {}
  at::Tensor logits(int64_t, const at::Tensor& rows) const override {
    return logits_.index_select(0, rows);
  }

 private:
  at::Tensor logits_;  // [Q,T,h,w]
};

/// The centres of the four cells of the masks' left column, whoever asks.
class LeftColumn final : public PointSource {
 public:
  at::Tensor uniform(const std::string& use, int64_t count, int64_t num_points) override {
    asked = use;
    EXPECT_EQ(count, 1);
    EXPECT_EQ(num_points, 4);
    const at::Tensor y = (at::arange(4) + 0.5) / 4.0;
    return at::stack({at::full({4}, 0.125), y}, -1).unsqueeze(0);
  }
  std::string asked;
};

TEST(SequenceMatcher, ComparesMasksAtSharedPoints) {
  Scene scene;
  const at::Tensor logits = at::randn({2, 2, 4, 4});
  scene.prediction.masks = std::make_shared<FixedMasks>(logits);
  scene.prediction.boxes = at::Tensor();
  scene.targets[0].masks = at::rand({2, 2, 4, 4}) > 0.5;
  LeftColumn points;
  ForwardContext context;
  context.points = &points;
  const std::string only_masks = "class_weight = 0.0\nbox_l1_weight = 0.0\n";
  const at::Tensor said = logits.select(3, 0).flatten(1),  // [Q,T*4]
      wanted = scene.targets[0].masks.select(3, 0).flatten(1).to(at::kFloat);
  const at::Tensor entropy = make_matcher(only_masks + "mask_bce_weight = 3.0\nnum_points = 4")
                                 ->match(5, scene.prediction, scene.targets, context)
                                 .at(0)
                                 .cost;
  EXPECT_EQ(points.asked, "matcher.5.0");
  const at::Tensor dice = make_matcher(only_masks + "mask_dice_weight = 2.0\nnum_points = 4")
                              ->match(5, scene.prediction, scene.targets, context)
                              .at(0)
                              .cost;
  for (int64_t q = 0; q < 2; ++q)
    for (int64_t n = 0; n < 2; ++n) {
      const at::Tensor p = said[q].sigmoid();
      EXPECT_NEAR(entropy[q][n].item<double>(),
                  3 * at::binary_cross_entropy_with_logits(said[q], wanted[n]).item<double>(),
                  1e-5);
      EXPECT_NEAR(dice[q][n].item<double>(),
                  2 - 2 * ((2 * (p * wanted[n]).sum() + 1) / (p.sum() + wanted[n].sum() + 1))
                              .item<double>(),
                  1e-5);
    }
}

TEST(SequenceMatcher, AsksForBoxesOnlyWhereTheyCost) {
  Scene scene;
  scene.prediction.boxes = at::Tensor();
  EXPECT_THROW(make_matcher("")->match(0, scene.prediction, scene.targets, {}), ConfigError);
  EXPECT_NO_THROW(
      make_matcher("box_l1_weight = 0.0")->match(0, scene.prediction, scene.targets, {}));
}

TEST(SequenceMatcher, MeasuresTheDistanceOfWholeSequences) {
  Scene scene;
  const std::string only_l2 = "class_weight = 0.0\nbox_l1_weight = 0.0\nbox_l2_weight = 2.0\n";
  auto cost = [&](const std::string& absent) {
    return make_matcher(only_l2 + "absent_frames = \"" + absent + "\"")
        ->match(0, scene.prediction, scene.targets, {})
        .at(0)
        .cost;
  };
  EXPECT_NEAR(cost("count")[1][0].item<double>(), 0.0, 1e-6);
  // Two frames of (0.5, 0.5, 0.1, 0.1) apart.
  EXPECT_NEAR(cost("count")[0][0].item<double>(), 2 * std::sqrt(2 * (0.5 + 0.02)), 1e-5);
  EXPECT_NEAR(cost("ignore")[0][1].item<double>(), 0.0, 1e-6);
  EXPECT_NEAR(cost("count")[0][1].item<double>(), 2 * std::sqrt(0.49 * 2 + 0.04 * 2), 1e-5);
}

TEST(SequenceMatcher, AsksNoFrameForTheClassOfAClip) {
  Scene scene;
  scene.prediction.classes.logits = at::randn({1, 2, 3});
  scene.prediction.classes.scope = ClassScope::clip;
  const std::string only_class = "box_l1_weight = 0.0\n";
  auto cost = [&](const std::string& absent) {
    return make_matcher(only_class + "absent_frames = \"" + absent + "\"")
        ->match(0, scene.prediction, scene.targets, {})
        .at(0)
        .cost;
  };
  EXPECT_TRUE(at::equal(cost("count"), cost("ignore")));
}

}  // namespace
}  // namespace tessera
