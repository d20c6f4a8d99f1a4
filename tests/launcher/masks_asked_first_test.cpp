// Matchers ask for masks before the losses do, and without gradients.

#include <gtest/gtest.h>

#include "tests/launcher/composed_system.h"

namespace tessera::masks_asked_first_test {
namespace {

using test_support::Composed;

class MasksAskedFirst : public testing::TestWithParam<const char*> {};

/// The gradients of a loss on masks, after somebody asked for them without gradients or not.
std::vector<at::Tensor> gradients_of_masks(Composed& system, bool asked) {
  system.model.zero_grad();
  const ForwardContext context;
  const VisModel::Output output = system.model.forward(system.batch, context);
  const at::Tensor rows = at::arange(2);
  const at::Tensor points = at::rand({2, system.batch.frames.size(1), 5, 2});
  at::Tensor loss;
  for (const LayerPrediction& layer : output.last().predictions.layers) {
    const auto all = [&] {
      return layer.masks->logits(1, rows).square().mean() +
             layer.masks->logits_at(1, rows, points).square().mean() +
             layer.masks->resized(1, rows, 8, 12).square().mean();
    };
    if (asked) {
      const at::NoGradGuard no_grad;
      all();
    }
    loss = loss.defined() ? loss + all() : all();
  }
  loss.backward();
  std::vector<at::Tensor> found;
  for (const at::Tensor& parameter : system.model.parameters())
    found.push_back(parameter.grad().defined() ? parameter.grad().clone()
                                               : at::zeros_like(parameter));
  return found;
}

TEST_P(MasksAskedFirst, HaveTheSameGradients) {
  Composed system(GetParam());
  at::manual_seed(2);
  const auto expected = gradients_of_masks(system, false);
  at::manual_seed(2);
  const auto found = gradients_of_masks(system, true);
  double sum = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(at::allclose(found[i], expected[i], 1e-5, 1e-8)) << "parameter " << i;
    sum += expected[i].abs().sum().item<double>();
  }
  EXPECT_GT(sum, 0);
}

INSTANTIATE_TEST_SUITE_P(Heads, MasksAskedFirst,
                         testing::Values("smoke/vistr", "smoke/simvtr", "smoke/mask2former_vis",
                                         "quickstart_seqformer"));

}  // namespace
}  // namespace tessera::masks_asked_first_test
