// Parts of every system's model that compute their activations again in backward.

#include <gtest/gtest.h>

#include <cmath>

#include "tests/launcher/composed_system.h"

namespace tessera {
namespace {

using test_support::Composed;
using test_support::gradients;

class RecomputedParts : public testing::TestWithParam<const char*> {};

TEST_P(RecomputedParts, GiveTheSameGradients) {
  Composed composed(GetParam());
  composed.model.train();
  const auto run = [&](const Recomputed& what) {
    composed.model.recompute_activations(what);
    at::manual_seed(7);  // of dropout
    return gradients(composed.model, composed.batch, {});
  };
  const auto expected = run({});
  double squares = 0;
  for (const at::Tensor& gradient : expected)
    if (gradient.defined()) squares += gradient.square().sum().item<double>();
  for (const Recomputed& what :
       {Recomputed{.backbone = true}, Recomputed{.encoder = true}, Recomputed{.masks = true},
        Recomputed{.masks = true, .mask_rows = 1},
        Recomputed{.backbone = true, .encoder = true, .masks = true}}) {
    const auto found = run(what);
    for (size_t i = 0; i < expected.size(); ++i) {
      if (!found[i].defined() || !expected[i].defined()) {
        // None at all is as good as nothing but zeros.
        for (const at::Tensor& one : {found[i], expected[i]})
          EXPECT_TRUE(!one.defined() || one.abs().max().item<double>() == 0)
              << composed.model.named_parameters().keys()[i];
        continue;
      }
      // Sums over instances, and of a feature's gradients, may come in another order; some
      // parameters' gradients (the bias of a softmax) are nothing but rounding.
      EXPECT_LT((found[i] - expected[i]).norm().item<double>(),
                1e-4 * expected[i].norm().item<double>() + 1e-7 * std::sqrt(squares))
          << composed.model.named_parameters().keys()[i] << " backbone " << what.backbone
          << " encoder " << what.encoder << " masks " << what.masks << " rows " << what.mask_rows;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Systems, RecomputedParts,
                         testing::Values("smoke/vistr", "smoke/deformable_vistr",
                                         "smoke/deformable_vistr_minivis", "smoke/simvtr",
                                         "smoke/mask2former_vis", "smoke/mssts", "smoke/ifc",
                                         "quickstart_seqformer", "quickstart_deformable"));

TEST(Recomputed, UnknownPartsNameTheKnownOnes) {
  try {
    Recomputed::parts({"encoder", "mask"});
    FAIL() << "expected an error";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("Did you mean 'masks'"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace tessera
