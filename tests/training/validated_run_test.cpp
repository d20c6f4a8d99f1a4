// Runs whose averaged weights are validated, and runs that end when validations no longer rise.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "launcher/training/training_loop.h"
#include "launcher/weights/safetensors.h"
#include "tests/training/temporary_folder.h"
#include "tests/training/tiny_run.h"

namespace tessera {
namespace {

using test_support::metrics;
using test_support::read_file;
using test_support::TemporaryFolder;
using test_support::TinyRun;

/// A validation whose scores are given, and the weights that it saw.
struct Scores {
  std::vector<double> values;
  size_t asked = 0;
  at::Tensor seen{};
  void score(TinyRun& run) {
    run.settings.validate = [this, &run] {
      seen = run.model.second.detach().clone();
      return std::vector<evaluation::Stat>{{"AP", values.at(asked++)}};
    };
  }
};

TEST(AveragedRun, ValidatesAndSavesTheAveragedWeights) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run"), plain_folder(temporary / "plain");
  TinyRun run, plain;
  plain.go(plain_folder);
  run.train.ema = EmaOptions{.decay = 0.9};
  run.train.evaluate_every = 10;
  Scores scores{{0.5}};
  scores.score(run);
  run.go(folder);
  EXPECT_TRUE(run.model.equals(plain.model)) << "the average changes nothing about training";
  EXPECT_EQ(read_file(folder.last_weights()), read_file(plain_folder.last_weights()));
  const SafetensorsFile averaged = read_safetensors(folder.averaged_weights()),
                        best = read_safetensors(folder.best_weights()),
                        checkpoint = read_safetensors(folder.checkpoint(10));
  EXPECT_EQ(averaged.tensors.size(), 4u);
  const at::Tensor& second = *averaged.find("head.second.weight");
  EXPECT_FALSE(second.equal(run.model.second));
  EXPECT_TRUE(second.equal(scores.seen));
  EXPECT_TRUE(second.equal(*best.find("head.second.weight")));
  EXPECT_TRUE(second.equal(*checkpoint.find("ema.head.second.weight")));
  EXPECT_EQ(checkpoint.find("ema.head.offset"), nullptr) << "a buffer";
  EXPECT_TRUE(averaged.find("head.offset")->equal(run.model.offset));
  EXPECT_EQ(read_safetensors(plain_folder.checkpoint(10)).tensors.size() + 3,
            checkpoint.tensors.size());
  EXPECT_FALSE(std::filesystem::exists(plain_folder.averaged_weights()));
}

class InterruptedAverage : public testing::TestWithParam<int64_t> {};

TEST_P(InterruptedAverage, GoesOnBitForBit) {
  TemporaryFolder temporary;
  const RunFolder whole_folder(temporary / "whole"), folder(temporary / "run");
  TinyRun whole, first, second;
  for (TinyRun* run : {&whole, &first, &second})
    run->train.ema = EmaOptions{.decay = 0.8, .after = 2};
  whole.go(whole_folder);
  first.settings.stop_at = GetParam();
  first.go(folder);
  second.go(folder, "auto");
  EXPECT_EQ(read_file(folder.checkpoint(10)), read_file(whole_folder.checkpoint(10)));
  EXPECT_EQ(read_file(folder.averaged_weights()), read_file(whole_folder.averaged_weights()));
  EXPECT_NE(read_file(folder.averaged_weights()), read_file(folder.last_weights()));
}

INSTANTIATE_TEST_SUITE_P(At, InterruptedAverage, testing::Values(1, 5, 6));

TEST(AveragedRun, BeginsToAverageWhereAResumedRunSwitchesItOn) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun first, second;
  first.settings.stop_at = 9;
  first.go(folder);
  const at::Tensor before = first.model.second.detach().clone();
  second.train.ema = EmaOptions{.decay = 0.75};
  second.go(folder, "auto");
  const SafetensorsFile averaged = read_safetensors(folder.averaged_weights());
  EXPECT_TRUE(averaged.find("head.second.weight")
                  ->allclose(0.75 * before + 0.25 * second.model.second.detach(), 1e-6, 1e-7));
}

TEST(Patience, StopsWhenTheScoreDoesNotRise) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run;
  run.train.evaluate_every = 1;
  run.train.patience = 2;
  Scores scores{{0.2, 0.1, 0.3, 0.3, 0.25, 0.9}};  // the fourth equals the best: it did not rise
  scores.score(run);
  const TrainResult result = run.go(folder);
  EXPECT_TRUE(result.stopped_early);
  EXPECT_FALSE(result.preempted);
  EXPECT_EQ(result.iteration, 5);
  EXPECT_EQ(result.best, 0.3);
  EXPECT_EQ(result.checkpoint, folder.checkpoint(5));
  std::vector<int64_t> since_best;
  std::vector<int64_t> stops;
  for (const auto& line : metrics(folder)) {
    if (line.contains("validation")) since_best.push_back(line["validations_since_best"]);
    if (line.contains("stopped")) stops.push_back(line["iteration"]);
  }
  EXPECT_EQ(since_best, (std::vector<int64_t>{0, 1, 0, 1, 2}));
  EXPECT_EQ(stops, std::vector<int64_t>{5});
  // The run is complete: nothing is left to do, until it is given more patience.
  TinyRun again, patient;
  for (TinyRun* each : {&again, &patient}) {
    each->train = run.train;
    scores.score(*each);
  }
  const TrainResult done = again.go(folder, "auto");
  EXPECT_TRUE(done.stopped_early);
  EXPECT_EQ(done.iteration, 5);
  EXPECT_EQ(scores.asked, 5u);
  patient.train.patience = 3;
  patient.settings.stop_at = 6;
  const TrainResult more = patient.go(folder, "auto");
  EXPECT_EQ(more.iteration, 6);
  EXPECT_EQ(more.best, 0.9);
}

TEST(Patience, RemembersItsPatienceWhenItGoesOn) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  Scores scores{{0.5, 0.4, 0.3, 0.2, 0.1}};
  TinyRun first, second;
  for (TinyRun* run : {&first, &second}) {
    run->train.evaluate_every = 1;
    run->train.patience = 3;
    scores.score(*run);
  }
  first.settings.stop_at = 3;
  EXPECT_FALSE(first.go(folder).stopped_early);
  EXPECT_EQ(read_train_state(folder.checkpoint(3)).validations_since_best, 2);
  const TrainResult result = second.go(folder, "auto");
  EXPECT_TRUE(result.stopped_early);
  EXPECT_EQ(result.iteration, 4);
}

}  // namespace
}  // namespace tessera
