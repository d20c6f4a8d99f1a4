#include "launcher/bench/model_bench.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "launcher/data/frame_source.h"
#include "launcher/model/part_times.h"
#include "launcher/peak_memory.h"

namespace tessera::bench {
namespace {

TEST(PartTimes, InnerPartsDoNotCountForOuterOnes) {
  double clock = 100;
  PartTimes times([&] { return clock; });
  const auto pass = [&](double seconds) { clock += seconds; };
  {
    RECORD_USER_SCOPE("decoder");
    pass(1);
    {
      RECORD_USER_SCOPE("instance_head");
      pass(2);
      {
        RECORD_USER_SCOPE("mask_head");
        pass(4);
        at::ones({2}).add(1);  // operators are no parts
      }
      pass(8);
    }
    pass(16);
  }
  pass(32);  // nobody's
  {
    RECORD_USER_SCOPE("instance_head");
    pass(64);
  }
  const std::map<std::string, double> expected{
      {"decoder", 17}, {"instance_head", 74}, {"mask_head", 4}};
  EXPECT_EQ(times.seconds(), expected);
  times.clear();
  EXPECT_TRUE(times.seconds().empty());
  EXPECT_THROW(PartTimes(), std::logic_error);
}

TEST(PartTimes, AnErrorEndsThePart) {
  double clock = 0;
  PartTimes times([&] { return clock; });
  try {
    RECORD_USER_SCOPE("encoder");
    clock = 1;
    throw 1;
  } catch (int) {
  }
  clock = 10;
  {
    RECORD_USER_SCOPE("mask_head");
    clock = 12;
  }
  const std::map<std::string, double> expected{{"encoder", 1}, {"mask_head", 2}};
  EXPECT_EQ(times.seconds(), expected);
}

TEST(ModelBench, MedianRoundCountsAMissingPartAsNothing) {
  const Round round = median_round({{10, {{"a", 3}, {"b", 1}}}, {12, {{"a", 5}}}, {8, {{"a", 4}}}});
  EXPECT_EQ(round.seconds, 10);
  const std::map<std::string, double> expected{{"a", 4}, {"b", 0}, {"other", 6}};
  EXPECT_EQ(round.parts, expected);
}

TEST(ModelBench, PeakOfMemoryIsThatSinceItWasBegun) {
  constexpr int64_t kBytes = int64_t{1} << 28;
  at::ones({kBytes}, at::kByte);
  begin_peak(at::kCPU);
  const MemoryUse before = memory_use(at::kCPU);
  EXPECT_LT(before.peak - before.now, kBytes / 2);
  at::ones({kBytes}, at::kByte);
  const MemoryUse after = memory_use(at::kCPU);
  EXPECT_GE(after.peak - before.now, kBytes / 2);
  EXPECT_LT(after.peak - before.now, 2 * kBytes);
}

TEST(ModelBench, TargetsAreWhatTheirMasksShow) {
  const ClipBatch batch = noise_clip({3, 50, 70}, 32);
  EXPECT_EQ(batch.frames.sizes(), at::IntArrayRef({1, 3, 3, 64, 96}));
  EXPECT_EQ(batch.padding_mask.logical_not().sum().item<int64_t>(), 3 * 50 * 70);
  const Targets targets = moving_targets(batch, 5, 2);
  ASSERT_EQ(targets.size(), 1u);
  EXPECT_LT(targets[0].labels.max().item<int64_t>(), 2);
  ASSERT_EQ(targets[0].masks.sizes(), at::IntArrayRef({5, 3, 64, 96}));
  for (int64_t n = 0; n < 5; ++n) {
    for (int64_t t = 0; t < 3; ++t) {
      const at::Tensor where = targets[0].masks[n][t].nonzero();  // [pixels,2] y, x
      const at::Tensor low = std::get<0>(where.min(0)), high = std::get<0>(where.max(0)) + 1;
      const at::Tensor centre = (low + high) / 2.0, side = high - low;
      const at::Tensor& box = targets[0].boxes[n][t];
      EXPECT_NEAR(box[0].item<double>() * 70, centre[1].item<double>(), 1e-4);
      EXPECT_NEAR(box[1].item<double>() * 50, centre[0].item<double>(), 1e-4);
      EXPECT_NEAR(box[2].item<double>() * 70, side[1].item<double>(), 1e-4);
      EXPECT_NEAR(box[3].item<double>() * 50, side[0].item<double>(), 1e-4);
    }
  }
}

class ModelBenchOf : public testing::TestWithParam<const char*> {};

TEST_P(ModelBenchOf, TimesEveryPartInEveryType) {
  Registry registry(Registry::default_search_paths());
  std::vector<std::pair<std::string, Experiment>> experiments;
  for (const char* name : {"none", "bfloat16"}) {
    const std::string type = name;
    experiments.emplace_back(
        type, load_experiment(std::filesystem::path(TESSERA_SOURCE_DIR) / "experiments/smoke" /
                                  (std::string(GetParam()) + ".toml"),
                              {"data.num_frames=2", "inference.autocast=\"" + type + "\"",
                               "train.autocast=\"" + type + "\""},
                              registry));
    experiments.back().second.inference.short_side = 64;
    experiments.back().second.inference.max_side = 96;
  }
  ModelBenchOptions options;
  options.clip = {2, 64, 96};
  options.instances = 2;
  options.rounds = 1;
  const auto result = bench_model(experiments, options);
  EXPECT_GT(result.at("parameters").get<int64_t>(), 1000);
  for (const char* type : {"none", "bfloat16"}) {
    for (const char* what : {"inference", "training"}) {
      const auto& found = result.at(what).at(type);
      double sum = 0;
      for (const auto& [part, seconds] : found.at("parts").items()) sum += seconds.get<double>();
      EXPECT_NEAR(sum, found.at("seconds").get<double>(), 1e-6) << what;
      for (const char* part : {"backbone", "encoder", "decoder", "instance_head", "mask_head"})
        EXPECT_GT(found.at("parts").at(part).get<double>(), 0) << what << " " << part;
      EXPECT_GT(found.at("peak_bytes").get<int64_t>(), 0);
    }
    for (const char* part : {"criterion", "backward", "optimiser"})
      EXPECT_GT(result.at("training").at(type).at("parts").at(part).get<double>(), 0) << part;
  }
  const auto& difference = result.at("difference").at("bfloat16");
  EXPECT_GT(difference.at("masks").get<double>(), 0);
  EXPECT_LT(difference.at("masks").get<double>(), 0.5);
}

INSTANTIATE_TEST_SUITE_P(Systems, ModelBenchOf,
                         testing::Values("vistr", "mask2former_vis", "mssts"));

}  // namespace
}  // namespace tessera::bench
