// The operators against the outputs and gradients recorded from the systems they reproduce.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/ops/deform_conv2d.h"
#include "core/ops/ms_deform_attn.h"
#include "core/ops/st_deform_attn.h"
#include "tests/ops/gradcheck.h"
#include "tests/ops/parity_case.h"

namespace tessera::test {
namespace {

constexpr double kTolerance = 1e-10;  // in float64, relative to 1 + |expected|

// The named inputs in float64, requiring gradients; an absent one is undefined.
class Inputs {
 public:
  explicit Inputs(const ParityCase& parity) {
    for (const auto& [name, tensor] : parity.inputs) tensors_[name] = leaf(tensor.to(at::kDouble));
  }
  at::Tensor operator()(const std::string& name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? at::Tensor() : found->second;
  }
  std::optional<at::Tensor> optional(const std::string& name) const {
    return tensors_.contains(name) ? std::optional(tensors_.at(name)) : std::nullopt;
  }

 private:
  std::map<std::string, at::Tensor> tensors_;
};

// Checks the output, and the gradient of every input of which one was recorded.
void expect_parity(const ParityCase& parity, const Inputs& inputs, const at::Tensor& output,
                   const std::string& offset_gradient = "grad.offset") {
  EXPECT_TRUE(all_close(output, parity.outputs.at("output"), kTolerance));
  std::vector<std::string> names;
  std::vector<at::Tensor> wanted;
  for (const auto& [name, tensor] : parity.inputs) {
    if (name == "grad_output") continue;
    const std::string key = name == "offset" ? offset_gradient : "grad." + name;
    if (!parity.outputs.contains(key)) continue;
    names.push_back(name);
    wanted.push_back(parity.outputs.at(key));
  }
  ASSERT_GE(names.size(), 2u);
  std::vector<at::Tensor> leaves;
  for (const std::string& name : names) leaves.push_back(inputs(name));
  const auto found = gradients(output, inputs("grad_output").detach(), leaves);
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_TRUE(all_close(found[i], wanted[i], kTolerance)) << "gradient of " << names[i];
  }
}

#define READ_OR_SKIP(parity, name)            \
  const auto parity = read_parity_case(name); \
  if (!parity) GTEST_SKIP() << "no parity case " << (name) << "; set TESSERA_SHARED"

struct StReference {
  std::string name;
  std::array<int64_t, 3> shape_thw;
};
class StDeformAttnParity : public testing::TestWithParam<StReference> {};

TEST_P(StDeformAttnParity, MatchesRecordedOutputAndGradients) {
  READ_OR_SKIP(parity, GetParam().name);
  const Inputs in(*parity);
  expect_parity(*parity, in,
                st_deform_attn(in("value"), GetParam().shape_thw, in("sampling_locations"),
                               in("attention_weights")));
}

INSTANTIATE_TEST_SUITE_P(Cases, StDeformAttnParity,
                         testing::Values(StReference{"st_deform_attn_inside", {3, 6, 5}},
                                         StReference{"st_deform_attn_outside", {4, 7, 9}},
                                         StReference{"st_deform_attn_border", {2, 4, 8}},
                                         StReference{"st_deform_attn_edge", {2, 4, 8}},
                                         StReference{"st_deform_attn_t1", {1, 6, 8}},
                                         StReference{"st_deform_attn_k1", {3, 5, 4}},
                                         StReference{"st_deform_attn_paper", {4, 5, 6}}),
                         [](const auto& info) { return info.param.name; });

struct MsReference {
  std::string name;
  std::vector<std::array<int64_t, 2>> shapes_hw;
};
class MsDeformAttnParity : public testing::TestWithParam<MsReference> {};

TEST_P(MsDeformAttnParity, MatchesRecordedOutputAndGradients) {
  READ_OR_SKIP(parity, GetParam().name);
  const Inputs in(*parity);
  expect_parity(*parity, in,
                ms_deform_attn(in("value"), GetParam().shapes_hw, in("sampling_locations"),
                               in("attention_weights")));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, MsDeformAttnParity,
    testing::Values(MsReference{"ms_deform_attn_1level", {{6, 5}}},
                    MsReference{"ms_deform_attn_4level", {{8, 10}, {4, 5}, {2, 3}, {1, 2}}},
                    MsReference{"ms_deform_attn_odd", {{3, 7}, {5, 2}}},
                    MsReference{"frames_as_levels", {{3, 4}, {3, 4}, {3, 4}, {3, 4}, {2, 3}}}),
    [](const auto& info) { return info.param.name; });

struct ConvReference {
  std::string name;
  DeformConvOptions options;
  std::string offset_gradient = "grad.offset";
};
class DeformConvParity : public testing::TestWithParam<ConvReference> {};

TEST_P(DeformConvParity, MatchesRecordedOutputAndGradients) {
  READ_OR_SKIP(parity, GetParam().name);
  const Inputs in(*parity);
  expect_parity(*parity, in,
                deform_conv2d(in("input"), in("offset"), in.optional("mask"), in("weight"),
                              in.optional("bias"), GetParam().options),
                GetParam().offset_gradient);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, DeformConvParity,
    testing::Values(
        ConvReference{"deform_conv_v1", {.padding = {1, 1}}},
        ConvReference{"deform_conv_v1_stride_dilation_groups",
                      {.stride = {2, 2},
                       .padding = {2, 2},
                       .dilation = {2, 2},
                       .groups = 2,
                       .offset_groups = 2}},
        ConvReference{"deform_conv_v2", {.padding = {1, 1}}},
        ConvReference{"deform_conv_v2_rect", {.padding = {1, 1}, .groups = 3, .offset_groups = 2}},
        ConvReference{"deform_conv_zero_offset", {.padding = {1, 1}, .border_gradient = true}},
        ConvReference{"deform_conv_zero_offset",
                      {.padding = {1, 1}, .border_gradient = false},
                      "grad.offset_official"}),
    [](const auto& info) {
      return info.param.name + (info.param.offset_gradient == "grad.offset" ? "" : "_official");
    });

}  // namespace
}  // namespace tessera::test
