#include "launcher/model/model_cost.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <stdexcept>

#include "core/error.h"
#include "core/nn/linear.h"
#include "core/ops/deform_conv2d.h"
#include "core/ops/ms_deform_attn.h"
#include "core/ops/st_deform_attn.h"
#include "launcher/model/mac_counter.h"

namespace tessera {
namespace {

int64_t count(const std::function<void()>& run) {
  const MacCounter counter;
  run();
  return counter.total();
}

TEST(MacCounter, CountsProducts) {
  const at::Tensor x = at::randn({6, 4}), weight = at::randn({5, 4}), bias = at::randn({5});
  EXPECT_EQ(count([&] { at::linear(x, weight, bias); }), 6 * 4 * 5);
  EXPECT_EQ(count([&] { at::linear(x, weight); }), 6 * 4 * 5);
  EXPECT_EQ(count([&] { at::linear(x.view({2, 3, 4}), weight, bias); }), 6 * 4 * 5);
  EXPECT_EQ(count([&] { at::matmul(x, weight[0]); }), 6 * 4);
  EXPECT_EQ(count([&] { at::dot(x[0], x[1]); }), 4);
  EXPECT_EQ(count([&] {
              at::matmul(at::randn({2, 3, 4, 5}), at::randn({2, 3, 5, 7}));
            }),
            2 * 3 * 4 * 5 * 7);
  EXPECT_EQ(count([&] {
              at::einsum("bqc,btchw->bqthw", {at::randn({2, 3, 4}), at::randn({2, 5, 4, 6, 7})});
            }),
            2 * 3 * 4 * 5 * 6 * 7);
}

TEST(MacCounter, CountsProductsThatAddToATensor) {
  const at::Tensor left = at::randn({2, 3, 4}), right = at::randn({2, 4, 5});
  EXPECT_EQ(count([&] { at::addmv(at::ones({3}), left[0], right[0].select(1, 0)); }), 3 * 4);
  EXPECT_EQ(count([&] { at::baddbmm(at::ones({2, 3, 5}), left, right); }), 2 * 3 * 4 * 5);
  EXPECT_EQ(count([&] { at::addbmm(at::ones({3, 5}), left, right); }), 2 * 3 * 4 * 5);
  EXPECT_EQ(count([&] { at::_addmm_activation(at::ones({5}), left[0], right[0]); }), 3 * 4 * 5);
}

TEST(MacCounter, CountsLinearLayersOfEverySize) {
  // The second is large enough to go through oneDNN by name.
  for (const int64_t rows : {10, 20000}) {
    const at::Tensor x = at::randn({rows, 32}), weight = at::randn({16, 32});
    EXPECT_EQ(count([&] { linear(x, weight, at::randn({16})); }), rows * 32 * 16) << rows;
    EXPECT_EQ(count([&] { linear(x, weight, {}, AfterLinear::relu); }), rows * 32 * 16) << rows;
  }
}

TEST(MacCounter, CountsConvolutions) {
  const at::Tensor image = at::randn({2, 4, 8, 8});
  // Every value of the output [2,6,4,4] takes 2 channels of 3 x 3.
  EXPECT_EQ(count([&] {
              at::conv2d(image, at::randn({6, 2, 3, 3}), {}, 2, 1, 1, 2);
            }),
            2 * 6 * 4 * 4 * 2 * 9);
  EXPECT_EQ(count([&] {
              at::conv3d(at::randn({1, 2, 3, 4, 4}), at::randn({5, 2, 3, 3, 3}), {}, 1, 1);
            }),
            5 * 3 * 4 * 4 * 2 * 27);
  // Every value of the input goes to 4 channels of 2 x 2.
  EXPECT_EQ(count([&] {
              at::conv_transpose2d(at::randn({1, 2, 3, 3}), at::randn({2, 4, 2, 2}), {}, 2);
            }),
            2 * 9 * 4 * 4);
}

TEST(MacCounter, CountsAttention) {
  const at::Tensor query = at::randn({1, 2, 3, 4}), key = at::randn({1, 2, 5, 4}),
                   value = at::randn({1, 2, 5, 4});
  EXPECT_EQ(count([&] { at::scaled_dot_product_attention(query, key, value); }),
            2 * 3 * 5 * (4 + 4));
  // With a learnt mask it is made of products, which are not counted a second time.
  const at::Tensor bias = at::zeros({3, 5}).set_requires_grad(true);
  EXPECT_EQ(count([&] { at::scaled_dot_product_attention(query, key, value, bias); }),
            2 * 3 * 5 * (4 + 4));
}

TEST(MacCounter, CountsSamplesAtPoints) {
  const at::Tensor of_levels = at::randn({2, 4 * 6 + 2 * 3, 2, 3});
  EXPECT_EQ(count([&] {
              ms_deform_attn(of_levels, {{4, 6}, {2, 3}}, at::rand({2, 5, 2, 2, 4, 2}),
                             at::rand({2, 5, 2, 2, 4}));
            }),
            2 * 5 * 2 * 2 * 4 * 3 * 4);
  EXPECT_EQ(count([&] {
              st_deform_attn(at::randn({1, 2 * 2 * 3, 2, 3}), {2, 2, 3}, at::rand({1, 5, 2, 4, 3}),
                             at::rand({1, 5, 2, 4}));
            }),
            5 * 2 * 4 * 3 * 8);
  // 3 x 3 samples of 4 channels at each of 5 x 5 cells, and a product with 6 x 4 x 3 x 3 weights.
  EXPECT_EQ(count([&] {
              deform_conv2d(at::randn({1, 4, 5, 5}), at::randn({1, 18, 5, 5}), {},
                            at::randn({6, 4, 3, 3}), {}, {.padding = {1, 1}});
            }),
            25 * 9 * 4 * 4 + 25 * 6 * 4 * 9);
}

TEST(MacCounter, LeavesOutTheRest) {
  const at::Tensor x = at::randn({3, 4, 5, 5});
  EXPECT_EQ(count([&] {
              at::layer_norm((x * x + x).softmax(1), {5});
              at::upsample_bilinear2d(x, {10, 10}, false);
            }),
            0);
}

TEST(MacCounter, CountsTheForwardOfATrainedStep) {
  const at::Tensor weight = at::randn({5, 4}).set_requires_grad(true);
  EXPECT_EQ(count([&] { at::linear(at::randn({6, 4}), weight); }), 6 * 4 * 5);
}

TEST(MacCounter, SumsByTheInnermostScope) {
  const at::Tensor x = at::randn({2, 3}), weight = at::randn({5, 3});
  at::linear(x, weight);
  const MacCounter counter;
  at::linear(x, weight);
  {
    RECORD_USER_SCOPE("outer");
    {
      RECORD_USER_SCOPE("inner");
      at::linear(x, weight);
    }
    at::linear(x, weight);
    at::linear(x, weight);
  }
  EXPECT_EQ(counter.by_scope(),
            (std::map<std::string, int64_t>{{"", 30}, {"inner", 30}, {"outer", 60}}));
  EXPECT_EQ(counter.total(), 120);
}

TEST(MacCounter, IsAloneInItsThread) {
  {
    const MacCounter counter;
    EXPECT_THROW(MacCounter(), std::logic_error);
  }
  EXPECT_EQ(count([] { at::dot(at::ones({4}), at::ones({4})); }), 4);
}

Experiment quickstart(const std::string& name, const std::vector<std::string>& overrides = {}) {
  Registry registry(Registry::default_search_paths());
  return load_experiment(
      std::filesystem::path(TESSERA_SOURCE_DIR) / "experiments" / (name + ".toml"), overrides,
      registry);
}

const PartCost& part(const ModelCost& cost, const std::string& name) {
  for (const PartCost& one : cost.parts)
    if (one.part == name) return one;
  throw std::out_of_range(name);
}

// The dense quick start: width 64, FFN 128, 10 queries, 5 classes; 2 frames of 32 x 32 pixels give
// 2 x 16 tokens of stride 8.
TEST(ModelCost, IsWhatAHandCounts) {
  const ModelCost cost = measure_model_cost(quickstart("quickstart_dense"), {2, 32, 32});
  constexpr int64_t dim = 64, hidden = 128, tokens = 32, queries = 2 * 10;
  const PartCost& encoder = part(cost, "encoder");
  constexpr int64_t layer =
      tokens * (4 * dim * dim + 2 * dim * tokens + 2 * dim * hidden);  // projections, pairs, FFN
  EXPECT_EQ(encoder.macs, tokens * 96 * dim + 2 * layer);

  const PartCost& heads = part(cost, "instance_head");
  constexpr int64_t box = 2 * dim * dim + dim * 4;
  EXPECT_EQ(heads.macs, 3 * (queries * dim + 10 * dim * 5 + queries * box));
  EXPECT_EQ(heads.parameters,
            (dim + 1) + 3 * ((dim + 1) * 5 + 2 * (dim + 1) * dim + (dim + 1) * 4));
  EXPECT_EQ(cost.masks, 10);
}

TEST(ModelCost, CountsEveryParameterOnce) {
  const Experiment experiment = quickstart("quickstart_mssts");
  const ModelCost cost = measure_model_cost(experiment, {2, 64, 96});
  int64_t parameters = 0;
  for (const NamedTensor& tensor :
       VisModel(experiment.model, experiment.clip_facts()).named_tensors())
    if (tensor.is_parameter) parameters += tensor.tensor.numel();
  EXPECT_EQ(cost.total().parameters, parameters);
  const PartCost& discriminator = part(cost, "auxiliary.discriminator");
  EXPECT_GT(discriminator.parameters, 1000);
  EXPECT_FALSE(discriminator.macs.has_value());
  EXPECT_GT(part(cost, "mask_head").macs, 0);
  EXPECT_GT(part(cost, "decoder").macs, 0);
}

// Frames are padded before the backbone, and masks are made of what inference keeps.
TEST(ModelCost, IsThatOfInference) {
  const std::vector<std::string> few{"inference.top_k=2", "model.decoder.num_queries=8"};
  const ModelCost ten = measure_model_cost(quickstart("quickstart_seqformer"), {1, 64, 96}),
                  two = measure_model_cost(quickstart("quickstart_seqformer", few), {1, 64, 96});
  EXPECT_EQ(ten.masks, 10);
  EXPECT_EQ(two.masks, 2);
  EXPECT_LT(part(two, "mask_head").macs, part(ten, "mask_head").macs);
  // Of the same model, more masks cost more.
  const auto masks_of = [](const std::string& top_k) {
    return part(measure_model_cost(quickstart("quickstart_seqformer", {"inference.top_k=" + top_k}),
                                   {1, 64, 96}),
                "mask_head")
        .macs.value();
  };
  EXPECT_LT(masks_of("2"), masks_of("4"));
  const Experiment divided = quickstart("quickstart_mask2former_vis");
  EXPECT_EQ(measure_model_cost(divided, {1, 57, 90}).total().macs,
            measure_model_cost(divided, {1, 64, 96}).total().macs);
}

TEST(ModelCost, CountsWindowByWindow) {
  const Experiment whole = quickstart("quickstart_mask2former_vis"),
                   by_frame = quickstart("quickstart_mask2former_vis",
                                         {"inference.window=1", "inference.overlap=0",
                                          "inference.linker.plugin=embedding"});
  const ModelCost four = measure_model_cost(by_frame, {4, 64, 96});
  EXPECT_EQ(four.windows, 4);
  EXPECT_EQ(four.window, 1);
  EXPECT_EQ(four.total().macs, 4 * *measure_model_cost(whole, {1, 64, 96}).total().macs);
  EXPECT_NE(four.total().macs, measure_model_cost(whole, {4, 64, 96}).total().macs);
}

TEST(ModelCost, RefusesAnotherNumberOfFrames) {
  const Experiment fixed = quickstart("quickstart_dense", {"model.decoder.queries=\"per_frame\""});
  EXPECT_THROW(measure_model_cost(fixed, {3, 32, 32}), ConfigError);
}

TEST(ModelCost, IsPrintedWithDifferences) {
  ModelCost first, second;
  first.windows = 2, first.window = 3;
  second.windows = 5, second.window = 1;
  first.parts = {{"backbone", 1000, 5000000}, {"encoder", 20, 300}};
  second.parts = {{"backbone", 1000, 5000000}, {"encoder", 5, 1300}, {"auxiliary.d", 7, {}}};
  EXPECT_EQ(
      model_cost_table({"a", "b"}, {first, second}, {5, 36, 64}),
      "                              a          b  difference\n"
      "parameters\n"
      "  backbone                1,000      1,000           0\n"
      "  encoder                    20          5         -15\n"
      "  auxiliary.d                 -          7          +7\n"
      "  model                   1,020      1,005         -15\n"
      "multiply-accumulates\n"
      "  backbone            5,000,000  5,000,000           0\n"
      "  encoder                   300      1,300      +1,000\n"
      "  model               5,000,300  5,001,300      +1,000\n"
      "masks made                    0          0\n"
      "windows                  2 of 3     5 of 1\n"
      "Inference on 5 frames of 36 x 64 pixels in windows of so many frames, masks of each window. "
      "loss and auxiliary.*: in training only, not in the model's sum.\n");
}

}  // namespace
}  // namespace tessera
