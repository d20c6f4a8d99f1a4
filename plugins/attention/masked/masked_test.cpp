#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/attention.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

// Two clips of two frames of three cells, four queries.
struct Scene {
  BuildContext context;
  std::shared_ptr<Attention> attention;
  Memory memory;
  at::Tensor query;

  Scene() {
    at::manual_seed(1);
    context.attention.dim = 8;
    context.attention.strides = {8};
    attention = test_support::make_plugin<Attention>("masked", "", context);
    memory.tokens = at::randn({2, 2, 3, 8});
    memory.levels = {{0, 1, 3, 8}};
    query = at::randn({2, 1, 4, 8});
  }
  at::Tensor read(const at::Tensor& blocked) {
    return attention->forward({query, {}, {}, memory, blocked}, {}).values[0];
  }
};

TEST(Masked, ReadsOnlyWhatIsNotBlocked) {
  Scene scene;
  at::Tensor blocked = at::zeros({2, 1, 4, 6}, at::kBool);
  blocked.narrow(3, 4, 2).fill_(true);  // cells 1 and 2 of frame 1
  const at::Tensor before = scene.read(blocked);
  scene.memory.tokens.select(1, 1).narrow(1, 1, 2).add_(5.0);
  EXPECT_TRUE(at::equal(scene.read(blocked), before));
  EXPECT_FALSE(at::allclose(scene.read(at::Tensor()), before));
}

TEST(Masked, AQueryWithEveryKeyBlockedReadsAll) {
  Scene scene;
  at::Tensor blocked = at::zeros({2, 1, 4, 6}, at::kBool);
  blocked.select(2, 1).fill_(true);
  EXPECT_TRUE(at::equal(scene.read(blocked), scene.read(at::zeros_like(blocked))));
  blocked.select(2, 1).select(2, 0).fill_(false);  // one key is enough to be read alone
  EXPECT_FALSE(at::allclose(scene.read(blocked).select(2, 1),
                            scene.read(at::zeros_like(blocked)).select(2, 1)));
}

TEST(Masked, PaddedKeysCountAsBlocked) {
  Scene scene;
  scene.memory.padding_mask = at::zeros({2, 2, 3}, at::kBool);
  scene.memory.padding_mask.select(1, 1).fill_(true);  // frame 1 is padding
  at::Tensor blocked = at::zeros({2, 1, 4, 6}, at::kBool);
  blocked.narrow(3, 0, 3).fill_(true);  // and all of frame 0 is blocked
  const at::Tensor value = scene.read(blocked);
  EXPECT_TRUE(value.isfinite().all().item<bool>());
  EXPECT_TRUE(at::equal(value, scene.read(at::zeros_like(blocked))));
}

TEST(Masked, RefusesAnAttentionThatCannotBeBlocked) {
  Scene scene;
  EXPECT_THROW(test_support::make_plugin<Attention>(
                   "masked", "attention = { plugin = \"st_deformable\" }", scene.context),
               ConfigError);
}

}  // namespace
}  // namespace tessera
