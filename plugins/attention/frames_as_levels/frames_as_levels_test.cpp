#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/attention.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

TEST(FramesAsLevels, SaysInWhichFrameItsPointsLie) {
  at::manual_seed(1);
  BuildContext context;
  context.clip.num_frames = 3;
  context.attention.dim = 8;
  context.attention.strides = {16};
  Memory memory;
  memory.tokens = at::randn({1, 3, 6, 8});
  memory.levels = {{0, 2, 3, 16}};
  const at::Tensor query = at::randn({1, 1, 4, 8}), references = at::rand({1, 1, 4, 2});
  for (const bool with_learnt_level : {false, true}) {
    const std::string options = "num_heads = 2\nnum_points = 2\nlearnt_height = ";
    auto part = test_support::make_plugin<Attention>(
        "frames_as_levels", options + (with_learnt_level ? "2" : "0"), context);
    AttentionInput input{query, {}, references, memory, {}};
    EXPECT_FALSE(part->forward(input, {}).sampling.weights.defined());
    input.wants_sampling = true;
    const AttentionSampling sampling = part->forward(input, {}).sampling;
    EXPECT_EQ(sampling.locations.sizes(), (at::IntArrayRef{1, 1, 4, 2, 3 * 2, 3}));
    const at::Tensor time = sampling.locations.select(-1, 2).flatten(0, 3)[0];
    EXPECT_TRUE(at::allclose(time * 3, at::tensor({0.5f, 0.5f, 1.5f, 1.5f, 2.5f, 2.5f})));
    // At the start every level has an equal share; the learnt one is no place, so its share is out.
    const double share = with_learnt_level ? 0.75 : 1.0;
    EXPECT_TRUE(at::allclose(sampling.weights.sum(-1), at::full({1, 1, 4, 2}, share)));
  }
}

}  // namespace
}  // namespace tessera
