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

}  // namespace
}  // namespace tessera
