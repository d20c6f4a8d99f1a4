#include "launcher/training/weight_average.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/training/temporary_folder.h"
#include "tests/training/tiny_model.h"

namespace tessera {
namespace {

using test_support::expect_error;
using test_support::TinyModel;

void fill(const at::Tensor& tensor, double value) {
  const at::NoGradGuard no_grad;
  at::Tensor(tensor).fill_(value);
}

double first_number(const at::Tensor& tensor) {
  return tensor.flatten()[0].item<double>();
}

const at::Tensor& averaged(const WeightAverage& average, const std::string& name) {
  for (const auto& [own, tensor] : average.averages())
    if (own == name) return tensor;
  throw std::runtime_error("no average of " + name);
}

TEST(WeightAverage, IsAGeometricSumOfTheWeights) {
  const TinyModel model;
  fill(model.norm, 1.0);
  WeightAverage average({.decay = 0.75}, model.named());
  double expected = 1.0;
  for (int64_t step = 1; step < 20; ++step) {
    const double weight = 0.1 * static_cast<double>(step * step);
    fill(model.norm, weight);
    average.update(step);
    expected = 0.75 * expected + 0.25 * weight;
    EXPECT_NEAR(first_number(averaged(average, "head.norm.weight")), expected, 1e-5 * expected);
  }
}

TEST(WeightAverage, IsTheWeightsThemselvesUntilItBegins) {
  const TinyModel model;
  WeightAverage average({.decay = 0.5, .after = 2}, model.named());
  for (int64_t step = 1; step <= 2; ++step) {
    fill(model.norm, 3.0 * static_cast<double>(step));
    average.update(step);
    EXPECT_EQ(first_number(averaged(average, "head.norm.weight")), 3.0 * static_cast<double>(step));
  }
  fill(model.norm, 8.0);
  average.update(3);
  EXPECT_EQ(first_number(averaged(average, "head.norm.weight")), 7.0);
}

// What does not train has no average: neither frozen parameters nor buffers (running statistics,
// memories) nor what only the losses use.
TEST(WeightAverage, HoldsTrainedParametersAlone) {
  const TinyModel model;
  at::Tensor(model.first).requires_grad_(false);
  std::vector<NamedTensor> tensors = model.named();
  tensors.push_back({"loss.cell.weight", at::ones({2}).set_requires_grad(true), true});
  const WeightAverage average({}, tensors);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : average.averages()) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"head.second.weight", "head.norm.weight"}));
}

TEST(WeightAverage, LeavesAWeightThatStandsStillAsItIs) {
  const TinyModel model;
  const at::Tensor before = model.first.detach().clone();
  WeightAverage average({.decay = 0.9999}, model.named());
  for (int64_t step = 1; step <= 1000; ++step) average.update(step);
  EXPECT_TRUE(averaged(average, "backbone.first.weight").equal(before));
}

TEST(WeightAverage, IsInTheModelForAWhile) {
  const TinyModel model;
  const at::Tensor begin = model.second.detach().clone();
  WeightAverage average({.decay = 0.5}, model.named());
  fill(model.second, 5.0);
  fill(model.offset, 4.0);
  average.update(1);
  const at::Tensor weights = model.second.detach().clone(),
                   mean = averaged(average, "head.second.weight").clone();
  {
    const WeightAverage::InModel in_model(average);
    EXPECT_TRUE(model.second.equal(mean));
    EXPECT_TRUE(model.second.allclose(0.5 * begin + 2.5));
    EXPECT_EQ(first_number(model.offset), 4.0) << "buffers are the model's own";
  }
  EXPECT_TRUE(model.second.equal(weights));
  EXPECT_TRUE(averaged(average, "head.second.weight").equal(mean));
}

TEST(WeightAverage, RefusesTheAveragesOfAnotherModel) {
  const TinyModel model;
  WeightAverage average({}, model.named());
  const at::Tensor before = averaged(average, "head.norm.weight").clone();
  expect_error<DataError>(
      [&] {
        average.load({{"head.norm.weight", at::zeros({4})},
                      {"head.second.weight", at::zeros({3})},
                      {"other", at::zeros({1})}});
      },
      {"backbone.first.weight (missing)", "head.second.weight ([3] instead of [2, 4])",
       "other (unknown)"});
  EXPECT_TRUE(averaged(average, "head.norm.weight").equal(before));
}

}  // namespace
}  // namespace tessera
