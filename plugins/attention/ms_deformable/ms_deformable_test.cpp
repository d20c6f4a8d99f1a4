#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/attention.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

constexpr int64_t kDim = 8;

// Two clips of two frames, levels of 2x3 and 4x6 cells; queries are the cells of the first level.
struct Scene {
  Memory memory;
  at::Tensor query, references;
  std::shared_ptr<Attention> attention;

  explicit Scene(const std::vector<MemoryLevel>& levels) {
    at::manual_seed(1);
    BuildContext context;
    context.attention.dim = kDim;
    int64_t cells = 0;
    for (const MemoryLevel& level : levels) {
      context.attention.strides.push_back(level.stride);
      cells += level.height * level.width;
    }
    memory.tokens = at::randn({2, 2, cells, kDim});
    memory.levels = levels;
    memory.valid_ratio = at::ones({2, 2, static_cast<int64_t>(levels.size()), 2});
    query = at::randn({2, 2, 6, kDim});
    const at::Tensor x = (at::arange(3) + 0.5) / 3.0, y = (at::arange(2) + 0.5) / 2.0;
    references = at::stack({x.expand({2, 3}), y.unsqueeze(1).expand({2, 3})}, -1)
                     .view({1, 1, 6, 2})
                     .expand({2, 2, -1, -1});
    attention = test_support::make_plugin<Attention>("ms_deformable",
                                                     "num_heads = 2\nnum_points = 3", context);
  }
  at::Tensor read() {
    return attention->forward({query, {}, references, memory, {}}, {}).values[0];
  }
  /// Values and outputs are the tokens themselves, and every point is the reference.
  void see_plainly() {
    torch::NoGradGuard no_grad;
    auto p = attention->named_parameters();
    p["sampling_offsets.bias"].zero_();
    for (const char* name : {"value_proj", "output_proj"}) {
      p[std::string(name) + ".weight"].copy_(at::eye(kDim));
      p[std::string(name) + ".bias"].zero_();
    }
  }
};

TEST(MsDeformable, ReadsItsOwnCellWithoutOffsets) {
  Scene scene({{0, 2, 3, 8}});
  scene.see_plainly();
  EXPECT_TRUE(at::allclose(scene.read(), scene.memory.tokens, 1e-5, 1e-6));
}

TEST(MsDeformable, AveragesLevelsBeforeItHasLearnt) {
  Scene scene({{0, 2, 3, 8}, {6, 4, 6, 4}});
  scene.see_plainly();
  // A coarse centre lies between four fine cells.
  const at::Tensor fine = at::avg_pool2d(scene.memory.level_map(1).flatten(0, 1), 2)
                              .flatten(2)
                              .transpose(1, 2)
                              .unflatten(0, {2, 2});
  const at::Tensor expected = (scene.memory.tokens.narrow(2, 0, 6) + fine) / 2;
  EXPECT_TRUE(at::allclose(scene.read(), expected, 1e-5, 1e-6));
}

TEST(MsDeformable, KeepsFramesApartAndPaddingOut) {
  Scene scene({{0, 2, 3, 8}, {6, 4, 6, 4}});
  const at::Tensor before = scene.read();
  scene.memory.tokens.select(1, 1).add_(1.0);
  const at::Tensor after = scene.read();
  EXPECT_TRUE(at::equal(before.select(1, 0), after.select(1, 0)));
  EXPECT_FALSE(at::allclose(before.select(1, 1), after.select(1, 1)));

  scene.see_plainly();
  scene.memory.padding_mask = at::zeros({2, 2, 30}, at::kBool);
  scene.memory.padding_mask.select(0, 1).fill_(true);
  EXPECT_EQ(scene.read().select(0, 1).abs().max().item<double>(), 0.0);
  EXPECT_GT(scene.read().select(0, 0).abs().max().item<double>(), 0.1);
}

TEST(MsDeformable, ReferencesAreOfTheUnpaddedPart) {
  Scene scene({{0, 2, 3, 8}});
  scene.see_plainly();
  // Half of the width is there: the last reference, at 5/6 of it, lies at 5/12 of the map: in
  // the middle between the centres of cells 0 and 1, and a quarter of a cell on.
  scene.memory.valid_ratio.select(3, 0).fill_(0.5);
  const at::Tensor row = scene.memory.tokens[0][0].narrow(0, 0, 3);
  const at::Tensor expected = 0.25 * row[0] + 0.75 * row[1];
  EXPECT_TRUE(at::allclose(scene.read()[0][0][2], expected, 1e-5, 1e-6));
}

// An offset of K steps is half a side of the box, whatever the level's size.
TEST(MsDeformable, OffsetsAreInHalvesOfABox) {
  Scene scene({{0, 2, 3, 8}});
  scene.see_plainly();
  {
    torch::NoGradGuard no_grad;
    auto bias = scene.attention->named_parameters()["sampling_offsets.bias"];
    bias.view({2, 1, 3, 2}).select(3, 0).fill_(3.0);  // K = 3 steps to the right
  }
  // From the middle of column 0 by half of 2/3 of the width: the middle of column 1.
  scene.references = at::tensor({1.0 / 6, 0.25, 2.0 / 3, 0.1}, at::kFloat).expand({2, 2, 6, 4});
  const at::Tensor second = scene.memory.tokens.narrow(2, 1, 1).expand({-1, -1, 6, -1});
  EXPECT_TRUE(at::allclose(scene.read(), second, 1e-4, 1e-5));
}

}  // namespace
}  // namespace tessera
