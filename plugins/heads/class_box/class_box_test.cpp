#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/instance_head.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

BuildContext context() {
  BuildContext context;
  context.clip = {3, 4};
  context.queries = {5, 8, 2, true};
  return context;
}

InstanceLayer frame_layer() {
  at::manual_seed(1);
  InstanceLayer layer;
  layer.frame = at::randn({2, 3, 5, 8});
  layer.references = at::rand({2, 3, 5, 2});
  return layer;
}

constexpr PredictionWant kBoth{.classes = true, .boxes = true};

TEST(ClassBox, ClassesFollowTheEmbeddingsOrTheClip) {
  const InstanceLayer layer = frame_layer();
  auto per_embedding = make_plugin<InstanceHead>("class_box", "", context());
  const ClassLogits frame = per_embedding->forward(0, layer, 3, kBoth, {}).classes;
  EXPECT_EQ(frame.scope, ClassScope::frame);
  EXPECT_EQ(frame.logits.sizes(), (at::IntArrayRef{2, 3, 5, 5}));  // 4 categories and no-object
  auto per_clip = make_plugin<InstanceHead>(
      "class_box", "class_per = \"clip\"\nactivation = \"sigmoid\"", context());
  const ClassLogits clip = per_clip->forward(0, layer, 3, kBoth, {}).classes;
  EXPECT_EQ(clip.scope, ClassScope::clip);
  EXPECT_EQ(clip.logits.sizes(), (at::IntArrayRef{2, 5, 4}));
}

TEST(ClassBox, ClassifiesThroughSeveralLayersWhereAsked) {
  auto head = make_plugin<InstanceHead>(
      "class_box", "class_layers = 2\nactivation = \"sigmoid\"\nprior_probability = 0.01",
      context());
  const auto p = head->named_parameters();
  EXPECT_TRUE(at::allclose(p["class_embed.layers.1.bias"].sigmoid(), at::full({4}, 0.01)));
  const InstanceLayer layer = frame_layer();
  const at::Tensor hidden =
      at::linear(layer.frame, p["class_embed.layers.0.weight"], p["class_embed.layers.0.bias"])
          .relu();
  EXPECT_TRUE(at::allclose(
      head->forward(0, layer, 3, kBoth, {}).classes.logits,
      at::linear(hidden, p["class_embed.layers.1.weight"], p["class_embed.layers.1.bias"]), 1e-5,
      1e-6));
}

TEST(ClassBox, ClipClassIsThatOfFramesThatAgree) {
  InstanceLayer layer = frame_layer();
  layer.frame = layer.frame.narrow(1, 0, 1).repeat({1, 3, 1, 1});
  auto per_clip = make_plugin<InstanceHead>(
      "class_box", "class_per = \"clip\"\nactivation = \"sigmoid\"", context());
  InstanceLayer one = layer;
  one.frame = layer.frame.narrow(1, 0, 1);
  EXPECT_TRUE(at::allclose(per_clip->forward(0, layer, 3, kBoth, {}).classes.logits,
                           per_clip->forward(0, one, 1, kBoth, {}).classes.logits, 1e-5, 1e-6));
}

TEST(ClassBox, BoxesBeginAtTheirReferencesWithTheSizeAskedFor) {
  const InstanceLayer layer = frame_layer();
  auto head = make_plugin<InstanceHead>(
      "class_box", "box_centre = \"reference\"\nbox_start = 0.0\nbox_size_bias = -1.3", context());
  const at::Tensor boxes = head->forward(0, layer, 3, kBoth, {}).boxes;
  EXPECT_TRUE(at::allclose(boxes.narrow(-1, 0, 2), layer.references, 1e-4, 1e-5));
  const double side = 1 / (1 + std::exp(1.3));
  EXPECT_TRUE(at::allclose(boxes.narrow(-1, 2, 2), at::full({2, 3, 5, 2}, side), 1e-4, 1e-5));
}

TEST(ClassBox, RelativeBoxesNeedADecoderWithReferences) {
  InstanceLayer layer = frame_layer();
  layer.references = at::Tensor();
  auto head = make_plugin<InstanceHead>("class_box", "box_centre = \"reference\"", context());
  EXPECT_THROW(head->forward(0, layer, 3, kBoth, {}), ConfigError);
}

TEST(ClassBox, ClassesBeginAtTheirPriorProbability) {
  auto head = make_plugin<InstanceHead>(
      "class_box", "activation = \"sigmoid\"\nprior_probability = 0.01", context());
  InstanceLayer layer = frame_layer();
  layer.frame.zero_();
  const at::Tensor p = head->forward(0, layer, 3, kBoth, {}).classes.probabilities();
  EXPECT_NEAR(p.max().item<double>(), 0.01, 1e-6);
  EXPECT_NEAR(p.min().item<double>(), 0.01, 1e-6);
  EXPECT_THROW(make_plugin<InstanceHead>("class_box", "prior_probability = 0.01", context()),
               ConfigError);
}

TEST(ClassBox, DoesWithoutBoxes) {
  auto head = make_plugin<InstanceHead>("class_box", "with_boxes = false", context());
  EXPECT_FALSE(head->forward(0, frame_layer(), 3, kBoth, {}).boxes.defined());
  EXPECT_EQ(head->parameters().size(), 2u);  // the classes' weight and bias
}

TEST(ClassBox, ReadsClassesFromTheClipAndBoxesFromTheFrames) {
  auto head = make_plugin<InstanceHead>("class_box", "", context());
  InstanceLayer layer = frame_layer();
  layer.clip = at::randn({2, 5, 8});
  const LayerPrediction both = head->forward(0, layer, 3, kBoth, {});
  EXPECT_EQ(both.classes.scope, ClassScope::clip);
  InstanceLayer frame = layer, clip = layer;
  frame.clip = at::Tensor();
  clip.frame = at::Tensor();
  EXPECT_TRUE(at::equal(both.boxes, head->forward(0, frame, 3, kBoth, {}).boxes));
  EXPECT_TRUE(at::equal(both.classes.logits, head->forward(0, clip, 3, kBoth, {}).classes.logits));
}

TEST(ClassBox, RefinedBoxesBeginAsTheBoxesOfTheLayerBefore) {
  auto head = make_plugin<InstanceHead>("class_box",
                                        "box_centre = \"refined\"\nper_layer = true\n"
                                        "box_start = 0.0\nbox_size_bias = -2.0",
                                        context());
  InstanceLayer layer = frame_layer();
  const at::Tensor first = head->forward(0, layer, 3, kBoth, {}).boxes;
  EXPECT_TRUE(at::allclose(first.narrow(-1, 0, 2), layer.references, 1e-4, 1e-5));
  EXPECT_NEAR(first[0][0][0][2].item<double>(), 1 / (1 + std::exp(2.0)), 1e-5);
  layer.references = first.detach();
  EXPECT_TRUE(at::allclose(head->forward(1, layer, 3, kBoth, {}).boxes, first, 1e-4, 1e-5));
  EXPECT_THROW(make_plugin<InstanceHead>("class_box", "box_centre = \"refined\"", context()),
               ConfigError);
}

}  // namespace
}  // namespace tessera
