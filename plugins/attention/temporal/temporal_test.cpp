#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/attention.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

struct Scene {
  Memory memory;  // two clips, three frames, four queries
  std::shared_ptr<Attention> attention;

  explicit Scene(const std::string& over) {
    at::manual_seed(1);
    BuildContext context;
    context.attention.dim = 8;
    context.attention.strides = {1};
    memory.tokens = at::randn({2, 3, 4, 8});
    memory.levels = {{0, 1, 4, 1}};
    attention = test_support::make_plugin<Attention>(
        "temporal", "num_heads = 2\nover = \"" + over + "\"", context);
    attention->eval();
  }
  at::Tensor run() const {
    const at::Tensor joined = memory.tokens.flatten(1, 2).unsqueeze(1);
    return attention->forward({joined, {}, {}, memory, {}}, {})
        .values.at(0)
        .view(memory.tokens.sizes());
  }
  /// Which tokens change where that of clip 0, frame 2, query 1 does.
  at::Tensor reach() {
    torch::NoGradGuard no_grad;
    const at::Tensor before = run();
    memory.tokens[0][2][1].add_(1.0);
    return (run() - before).abs().amax(-1) > 0;  // [B,T,Q]
  }
};

TEST(Temporal, ReachesAllQueriesOfTheClip) {
  const at::Tensor reached = Scene("clip").reach();
  EXPECT_TRUE(reached[0].all().item<bool>());
  EXPECT_FALSE(reached[1].any().item<bool>());
}

TEST(Temporal, ReachesItsOwnTrackOnly) {
  const at::Tensor reached = Scene("track").reach();
  EXPECT_TRUE(reached[0].select(1, 1).all().item<bool>());
  EXPECT_EQ(reached.sum().item<int64_t>(), 3);
}

TEST(Temporal, PermutesWithTheFrames) {
  for (const char* over : {"clip", "track"}) {
    Scene scene(over);
    torch::NoGradGuard no_grad;
    const at::Tensor output = scene.run().flip(1);
    scene.memory.tokens = scene.memory.tokens.flip(1);
    EXPECT_TRUE(at::allclose(scene.run(), output, 1e-4, 1e-5)) << over;
  }
}

}  // namespace
}  // namespace tessera
