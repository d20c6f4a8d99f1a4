#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/interfaces/mask_head.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

constexpr int64_t kDim = 128, kQueries = 3;
const std::string kSimvtr = "num_deform_convs = 2\nwith_3d_conv = false\n";

BuildContext context() {
  BuildContext context;
  context.pyramid.levels = {{8, 4}, {12, 8}, {16, 16}, {20, 32}};
  context.memory.dim = kDim;
  context.memory.strides = {32};
  return context;
}

/// What a head is given for a clip of 96x64 pixels.
struct Clip {
  explicit Clip(int64_t frames) {
    for (const LevelSpec& level : context().pyramid.levels)
      pyramid.levels.push_back(
          {at::randn({1, frames, level.channels, 64 / level.stride, 96 / level.stride}),
           at::zeros({1, frames, 64 / level.stride, 96 / level.stride}, at::kBool), level.stride});
    memory.tokens = at::randn({1, frames, 6, kDim});
    memory.levels = {{0, 2, 3, 32}};
    layer.clip = at::randn({1, kQueries, kDim});
  }
  at::Tensor masks(MaskHead& head, const at::Tensor& rows) const {
    const ForwardContext none;
    const auto prepared = head.prepare(pyramid, memory, none);
    return prepared->masks(0, layer, {})->logits(0, rows);
  }
  FeaturePyramid pyramid;
  Memory memory;
  InstanceLayer layer;
};

void fill_offsets(MaskHead& head, double vertical) {
  const at::NoGradGuard no_grad;
  for (auto& item : head.named_parameters())
    if (item.key().find("conv_offset") != std::string::npos && item.key().ends_with("bias"))
      item.value().slice(0, 0, 18, 2).fill_(vertical);
}

TEST(VistrMasks, GivesMasksOfAnyRowsAndAnyNumberOfFrames) {
  at::manual_seed(1);
  for (const std::string& options : {std::string(), kSimvtr, kSimvtr + "deform_conv = \"v2\""}) {
    auto head = make_plugin<MaskHead>("vistr_masks", options, context());
    for (const int64_t frames : {1, 3}) {
      const Clip clip(frames);
      const at::Tensor all = clip.masks(*head, at::arange(kQueries));
      EXPECT_EQ(all.sizes(), (at::IntArrayRef{kQueries, frames, 16, 24}));
      EXPECT_TRUE(at::allclose(clip.masks(*head, at::tensor({2})), all.slice(0, 2), 1e-4, 1e-5));
    }
  }
}

// The three kinds have the weights in common and are one function while nothing has been learnt:
// no offset, and a modulation of 1/2 in each of two layers, which the norm between them undoes.
TEST(VistrMasks, AblationsBeginAtTheSameFunction) {
  const Clip clip(2);
  at::Tensor expected;
  for (const std::string kind : {"none", "v1", "v2"}) {
    at::manual_seed(2);
    auto head =
        make_plugin<MaskHead>("vistr_masks", kSimvtr + "deform_conv = \"" + kind + "\"", context());
    const at::NoGradGuard no_grad;
    at::manual_seed(3);
    for (auto& item : head->named_parameters())
      if (item.key().find("conv_offset") == std::string::npos && item.value().dim() > 1)
        item.value().normal_(0, 0.05);
    const at::Tensor masks = clip.masks(*head, at::arange(kQueries)) * (kind == "v2" ? 2.0 : 1.0);
    if (!expected.defined()) expected = masks;
    EXPECT_TRUE(at::allclose(masks, expected, 1e-3, 1e-4)) << kind;
  }
}

TEST(VistrMasks, BothLastConvolutionsFollowTheirOffsets) {
  const Clip clip(1);
  at::manual_seed(4);
  auto head = make_plugin<MaskHead>("vistr_masks", kSimvtr, context());
  const at::NoGradGuard no_grad;
  const at::Tensor before = clip.masks(*head, at::arange(kQueries));
  fill_offsets(*head, 1.0);
  const at::Tensor after = clip.masks(*head, at::arange(kQueries));
  // Everything is read one pixel further down, twice. The norm between them sees one row less.
  const at::Tensor difference = (after.slice(2, 2, 10) - before.slice(2, 4, 12)).abs().max();
  EXPECT_LT(difference.item<double>(), 0.2 * before.abs().max().item<double>());
  EXPECT_GT((after - before).abs().max().item<double>(), 0.05);
}

TEST(VistrMasks, AfterTwoNothingFollows) {
  EXPECT_THROW(make_plugin<MaskHead>("vistr_masks", "num_deform_convs = 2", context()),
               ConfigError);
  auto head = make_plugin<MaskHead>("vistr_masks", kSimvtr, context());
  const auto names = head->named_parameters();
  EXPECT_EQ(names["mask_head.dcn2.weight"].sizes(), (at::IntArrayRef{1, kDim / 16, 3, 3}));
  EXPECT_FALSE(names.contains("mask_head.dcn2.bias"));
  for (const auto& item : names) EXPECT_EQ(item.key().find("insmask_head"), std::string::npos);
}

}  // namespace
}  // namespace tessera
