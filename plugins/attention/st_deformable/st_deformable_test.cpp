#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/attention.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

std::shared_ptr<Attention> attention_of(int64_t levels = 1) {
  BuildContext context;
  context.attention.dim = 8;
  context.attention.strides.assign(levels, 8);
  return make_plugin<Attention>("st_deformable", "num_heads = 4\nnum_points = 6", context);
}

// Heads look in four directions; of three points one looks at the frame, one a frame forward, one
// back; the first three are a cell away, the others two.
TEST(StDeformable, BeginsAroundTheReferenceInSpaceAndTime) {
  const at::Tensor bias =
      attention_of()->named_parameters()["sampling_offsets.bias"].view({4, 6, 3});
  const double frames[3] = {0, 1, -1};
  const double directions[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
  for (int64_t m = 0; m < 4; ++m)
    for (int64_t k = 0; k < 6; ++k) {
      const double distance = k < 3 ? 1 : 2;
      EXPECT_NEAR(bias[m][k][0].item<double>(), directions[m][0] * distance, 1e-6);
      EXPECT_NEAR(bias[m][k][1].item<double>(), directions[m][1] * distance, 1e-6);
      EXPECT_EQ(bias[m][k][2].item<double>(), frames[k % 3]);
    }
}

TEST(StDeformable, RefusesAMemoryOfSeveralLevels) {
  EXPECT_THROW(attention_of(2), ConfigError);
}

}  // namespace
}  // namespace tessera
