#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/interfaces/mask_head.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

constexpr int64_t kDim = 64, kFrames = 2, kQueries = 3, kHeight = 64, kWidth = 96;

struct Scene {
  FeaturePyramid pyramid;
  Memory memory;
  InstanceLayer layer;
  at::Tensor boxes, features;
  std::shared_ptr<MaskHead> head;
  ForwardContext context;
  std::shared_ptr<const PreparedMasks> prepared;

  explicit Scene(const std::string& options) {
    at::manual_seed(1);
    BuildContext build;
    build.memory.dim = build.queries.dim = kDim;
    int64_t cells = 0;
    for (const int64_t stride : {8, 16, 32, 64}) {
      const int64_t h = (kHeight + stride - 1) / stride, w = (kWidth + stride - 1) / stride;
      memory.levels.push_back({cells, h, w, stride});
      build.memory.strides.push_back(stride);
      cells += h * w;
    }
    memory.tokens = at::randn({2, kFrames, cells, kDim});
    pyramid.padding_mask = at::zeros({2, kFrames, kHeight, kWidth}, at::kBool);
    pyramid.padding_mask.select(0, 1).narrow(2, 80, 16).fill_(true);  // 80 of 96 columns are there
    layer.clip = at::randn({2, kQueries, kDim});
    layer.references = at::rand({2, kFrames, kQueries, 4});
    boxes = at::rand({2, kFrames, kQueries, 4});
    head = test_support::make_plugin<MaskHead>("dynamic_convolution", options, build);
    context.probe = [this](const std::string& name, const at::Tensor& value) {
      if (name == "mask_head.features") features = value;
    };
  }
  std::shared_ptr<const MaskSource> masks() {
    prepared = head->prepare(pyramid, memory, context);
    return prepared->masks(0, layer, boxes);
  }
  at::Tensor parameter(const std::string& name) const {
    return head->named_parameters()[name].detach();
  }
  /// The weights of an instance's network, [P].
  at::Tensor kernel(const at::Tensor& query) const {
    at::Tensor x = query;
    for (int i = 0; i < 3; ++i) {
      const std::string name = "controller.layers." + std::to_string(i);
      x = at::matmul(parameter(name + ".weight"), x) + parameter(name + ".bias");
      if (i < 2) x = x.relu();
    }
    return x;
  }
};

// Pixel by pixel, with the parameters cut up by hand.
TEST(DynamicConvolution, EqualsTheNetworkOfEachInstance) {
  for (const std::string from : {"reference", "box", "none"}) {
    Scene scene("channels = 5\nupsample = 1\nfeature_channels = 4\ncoordinates = \"" + from + "\"");
    torch::NoGradGuard no_grad;
    const at::Tensor rows = at::tensor({int64_t{2}, int64_t{0}});
    const at::Tensor ours = scene.masks()->logits(1, rows);
    ASSERT_EQ(ours.sizes(), at::IntArrayRef({2, kFrames, kHeight / 8, kWidth / 8}));
    const int64_t in = from == "none" ? 4 : 6;
    const at::Tensor places = from == "box" ? scene.boxes : scene.layer.references;
    for (int64_t r = 0; r < 2; ++r) {
      const auto q = rows[r].item<int64_t>();
      const at::Tensor p = scene.kernel(scene.layer.clip[1][q]);
      const at::Tensor w0 = p.narrow(0, 0, 5 * in).view({5, in}),
                       w1 = p.narrow(0, 5 * in, 25).view({5, 5}), w2 = p.narrow(0, 5 * in + 25, 5),
                       b0 = p.narrow(0, 5 * in + 30, 5), b1 = p.narrow(0, 5 * in + 35, 5),
                       b2 = p[5 * in + 40];
      ASSERT_EQ(p.size(0), 5 * in + 41);
      for (int64_t t = 0; t < kFrames; ++t)
        for (const auto& [y, x] : {std::pair<int64_t, int64_t>{0, 0}, {3, 7}, {7, 11}}) {
          at::Tensor input = scene.features[1][t].select(1, y).select(1, x);
          if (from != "none") {
            const at::Tensor place = places[1][t][q];
            input = at::cat({at::stack({place[0] * 80 - static_cast<double>(8 * x + 4),
                                        place[1] * kHeight - static_cast<double>(8 * y + 4)}),
                             input});
          }
          const at::Tensor hidden =
              (at::matmul(w1, (at::matmul(w0, input) + b0).relu()) + b1).relu();
          const double expected = (at::dot(w2, hidden) + b2).item<double>();
          EXPECT_NEAR(ours[r][t][y][x].item<double>(), expected,
                      1e-4 * std::max(1.0, std::abs(expected)))
              << from;
        }
    }
  }
}

// A map that is linear in x stays so: with the corners aligned, cell i lies between the fine cells
// 2 i and 2 i + 1, half a fine cell further right than their middle.
TEST(DynamicConvolution, EnlargesLinearMapsLinearly) {
  Scene fine("coordinates = \"reference\"\nupsample = 2\nnum_layers = 2\nchannels = 1");
  torch::NoGradGuard no_grad;
  // hidden = relu(-dx + 1000), logit = hidden: linear in the cell's x.
  for (auto& item : fine.head->named_parameters())
    if (item.key().starts_with("controller")) item.value().zero_();
  at::Tensor bias = fine.head->named_parameters()["controller.layers.2.bias"];
  const int64_t in = 2 + kDim / 32;
  bias[0] = -1;         // of dx in the first convolution
  bias[in] = 1;         // of the hidden channel in the second
  bias[in + 1] = 1000;  // the first convolution's bias
  const at::Tensor map = fine.masks()->logits(0, at::tensor({int64_t{0}}))[0][0];
  ASSERT_EQ(map.sizes(), at::IntArrayRef({kHeight / 4, kWidth / 4}));
  const at::Tensor steps = map.slice(1, 2) - map.slice(1, 1, -1);
  EXPECT_LT((steps.slice(1, 0, -1) - 4.0).abs().max().item<double>(), 1e-2);  // 4 pixels a cell
}

TEST(DynamicConvolution, MasksDoNotDependOnWhoElseIsAsked) {
  Scene scene("");
  torch::NoGradGuard no_grad;
  const auto masks = scene.masks();
  const at::Tensor all = masks->logits(0, at::arange(kQueries));
  EXPECT_TRUE(
      at::allclose(masks->logits(0, at::tensor({int64_t{1}})), all.narrow(0, 1, 1), 1e-4, 1e-4));
  EXPECT_EQ(masks->logits(0, at::empty({0}, at::kLong)).sizes(),
            at::IntArrayRef({0, kFrames, kHeight / 4, kWidth / 4}));
}

TEST(DynamicConvolution, HasAKernelForEachFrameWhereTheDecoderHasNoneForTheClip) {
  Scene scene("");
  torch::NoGradGuard no_grad;
  const at::Tensor of_clip = scene.masks()->logits(0, at::arange(kQueries));
  scene.layer.frame = scene.layer.clip.unsqueeze(1).repeat({1, kFrames, 1, 1});
  scene.layer.clip = at::Tensor();
  EXPECT_TRUE(at::allclose(scene.masks()->logits(0, at::arange(kQueries)), of_clip, 1e-4, 1e-4));
  scene.layer.frame.select(1, 1).add_(1.0);
  const at::Tensor change =
      (scene.masks()->logits(0, at::arange(kQueries)) - of_clip).abs().amax({0, 2, 3});
  EXPECT_LT(change[0].item<double>(), 1e-2);
  EXPECT_GT(change[1].item<double>(), 1e-2);
}

TEST(DynamicConvolution, AsksForWhatItNeeds) {
  Scene scene("");
  scene.layer.references = at::Tensor();
  EXPECT_THROW(scene.masks(), ConfigError);
  EXPECT_FALSE(scene.head->wants_boxes());
  EXPECT_TRUE(Scene("coordinates = \"box\"").head->wants_boxes());
}

}  // namespace
}  // namespace tessera
