#include "launcher/weights/load_weights.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/training/temporary_folder.h"
#include "tests/training/tiny_model.h"

namespace tessera {
namespace {

using test_support::expect_error;
using test_support::TemporaryFolder;
using test_support::TinyModel;

using Names = std::vector<std::string>;

TEST(LoadWeights, TakesBackWhatSaveWeightsWrote) {
  TemporaryFolder folder;
  TinyModel model, other;
  save_weights(model.named(), folder / "w.safetensors");
  {
    at::NoGradGuard no_grad;
    other.first.zero_();
    other.offset.fill_(5);
  }
  const LoadReport report = load_weights(other.named(), folder / "w.safetensors", {});
  EXPECT_TRUE(other.equals(model));
  EXPECT_EQ(report.loaded.size(), 4u);
  EXPECT_TRUE(other.first.requires_grad() && other.first.is_leaf());
}

TEST(LoadWeights, FollowsPrefixRenameIgnoreAndSkip) {
  TemporaryFolder folder;
  TinyModel model;
  const at::Tensor head_before = model.second.detach().clone();
  write_safetensors(folder / "w.safetensors",
                    {{"net.body.first.weight", at::full({4, 3}, 2.0, at::kHalf)},
                     {"net.head.norm.gain", at::full({4}, 3.0)},
                     {"net.head.second.weight", at::ones({9, 4})},  // another number of classes
                     {"net.head.offset", at::ones({2})},
                     {"net.unused.query", at::ones({1})},
                     {"optimizer.step", at::ones({1})}});
  WeightsOptions options;
  options.prefix = "net.";
  options.rename = {{"^body", "backbone"}, {"norm\\.gain$", "norm.weight"}, {"nowhere", ""}};
  options.ignore = {"^unused\\."};
  options.skip = {"second"};
  const LoadReport report = load_weights(model.named(), folder / "w.safetensors", options);
  EXPECT_TRUE(model.first.equal(at::full({4, 3}, 2.0)));
  EXPECT_TRUE(model.norm.equal(at::full({4}, 3.0)));
  EXPECT_TRUE(model.second.equal(head_before));
  EXPECT_EQ(report.fresh, Names{"head.second.weight"});
  EXPECT_EQ(report.ignored, (Names{"net.unused.query", "head.second.weight"}));
  EXPECT_EQ(report.outside_prefix, Names{"optimizer.step"});
  EXPECT_EQ(report.unused_patterns, Names{"rename 'nowhere'"});
  EXPECT_NE(report.text().find("head.second.weight"), std::string::npos);
}

TEST(LoadWeights, ListsEveryMistakeAndTouchesNothing) {
  TemporaryFolder folder;
  TinyModel model;
  const TinyModel before;
  write_safetensors(folder / "w.safetensors", {{"backbone.first.weight", at::zeros({4, 3})},
                                               {"head.second.weight", at::zeros({3, 4})},
                                               {"head.offset", at::zeros({2}, at::kLong)},
                                               {"surprise", at::zeros({1})},
                                               {"surprise2", at::zeros({1})}});
  WeightsOptions options;
  options.rename = {{"^surprise2$", "surprise"}};
  expect_error<DataError>([&] { load_weights(model.named(), folder / "w.safetensors", options); },
                          {"w.safetensors", "1 missing", "head.norm.weight [4]", "1 unexpected",
                           "surprise [1]", "1 given twice", "'surprise2'", "2 of another shape",
                           "head.second.weight: [3, 4] in the file, [2, 4] in the model",
                           "head.offset: Long in the file, Float in the model"});
  EXPECT_TRUE(model.equals(before));
}

TEST(LoadWeights, NamesAMalformedPattern) {
  TemporaryFolder folder;
  save_weights(TinyModel().named(), folder / "w.safetensors");
  WeightsOptions options;
  options.skip = {"head.("};
  expect_error<ConfigError>(
      [&] { load_weights(TinyModel().named(), folder / "w.safetensors", options); },
      {"weights.skip", "head.("});
}

}  // namespace
}  // namespace tessera
