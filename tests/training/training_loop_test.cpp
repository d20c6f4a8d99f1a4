#include "launcher/training/training_loop.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <csignal>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "launcher/training/preemption.h"
#include "tests/support/read_options.h"
#include "tests/training/temporary_folder.h"
#include "tests/training/tiny_model.h"
#include "tests/training/tiny_run.h"

namespace tessera {
namespace {

using test_support::expect_error;
using test_support::metrics;
using test_support::read_file;
using test_support::TemporaryFolder;
using test_support::tiny_options;
using test_support::TinyModel;
using test_support::TinyRun;
using test_support::TinySource;

TEST(TrainingLoop, LearnsAndLeavesItsFiles) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run;
  const TinyModel before;
  std::ostringstream shown;
  run.settings.progress = &shown;
  const TrainResult result = run.go(folder);
  EXPECT_EQ(result.iteration, 10);
  EXPECT_FALSE(result.preempted);
  EXPECT_EQ(result.checkpoint, folder.checkpoint(10));
  EXPECT_FALSE(run.model.equals(before));
  EXPECT_TRUE(
      read_safetensors(folder.last_weights()).find("head.second.weight")->equal(run.model.second));
  EXPECT_EQ(folder.checkpoints().front().first, 9);
  std::vector<int64_t> logged;
  for (const auto& line : metrics(folder)) logged.push_back(line["iteration"]);
  EXPECT_EQ(logged, (std::vector<int64_t>{1, 2, 4, 6, 8, 10}));
  EXPECT_EQ(metrics(folder)[0]["total"], metrics(folder)[0]["terms"]["error"]);
  EXPECT_EQ(metrics(folder)[2]["epoch"], 1);  // the fourth step begins at sample 12
  EXPECT_NE(shown.str().find("iteration 10/10"), std::string::npos);
}

class Interrupted : public testing::TestWithParam<int64_t> {};

TEST_P(Interrupted, RunGoesOnBitForBit) {
  TemporaryFolder temporary;
  const RunFolder whole_folder(temporary / "whole"), folder(temporary / "run");
  TinyRun whole, first, second;
  for (TinyRun* run : {&whole, &first, &second}) run->train.accumulation = 2;
  whole.go(whole_folder);
  first.settings.stop_at = GetParam();
  EXPECT_EQ(first.go(folder).iteration, GetParam());
  EXPECT_FALSE(first.model.equals(whole.model));
  EXPECT_EQ(second.go(folder, "auto").iteration, 10);
  EXPECT_TRUE(second.model.equals(whole.model));
  EXPECT_EQ(metrics(folder), metrics(whole_folder));
  EXPECT_EQ(read_file(folder.last_weights()), read_file(whole_folder.last_weights()));
  EXPECT_EQ(read_file(folder.checkpoint(10)), read_file(whole_folder.checkpoint(10)));
}

INSTANTIATE_TEST_SUITE_P(At, Interrupted, testing::Values(1, 5, 6));

TEST(TrainingLoop, GoesOnAfterAKillFromTheLastCheckpoint) {
  TemporaryFolder temporary;
  const RunFolder whole_folder(temporary / "whole"), folder(temporary / "run");
  TinyRun whole, first, second;
  whole.go(whole_folder);
  // The source dies in the ninth step; steps 7 and 8 and their line are lost.
  EXPECT_THROW(first.go(folder, "", [](TinySource& source) { source.poisoned = 32; }),
               RuntimeError);
  EXPECT_EQ(metrics(folder).back()["iteration"], 8);
  second.go(folder, "auto");
  EXPECT_TRUE(second.model.equals(whole.model));
  EXPECT_EQ(metrics(folder), metrics(whole_folder));
}

TEST(TrainingLoop, StopsAtALossThatIsNotFinite) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run;
  expect_error<RuntimeError>(
      [&] { run.go(folder, "", [](TinySource& source) { source.poisoned = 16; }); },
      {"iteration 5", "nan", "error = nan (weight 1", "shown = ", "video 3 'cat' (sample 16)",
       "checkpoint-3.safetensors"});
  EXPECT_EQ(folder.checkpoints().back().first, 3);
}

TEST(TrainingLoop, StopsAtAGradientThatIsNotFinite) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run;
  expect_error<RuntimeError>(
      [&] { run.go(folder, "", [](TinySource& source) { source.steep = 4; }); },
      {"iteration 2", "gradients", "head.second.weight", "sample 4", "no checkpoint yet"});
}

TEST(TrainingLoop, NamesTheBatchWhereTheModelFails) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run;
  expect_error<RuntimeError>(
      [&] { run.go(folder, "", [](TinySource& source) { source.broken = 12; }); },
      {"iteration 4: matching cost", "sample 12", "checkpoint-3.safetensors"});
}

TEST(TrainingLoop, WritesACheckpointWhenAskedToStop) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run;
  const PreemptionGuard guard;
  int calls = 0;
  run.settings.stop_requested = [&] {
    if (++calls == 4) std::raise(SIGTERM);
    return guard.requested();
  };
  const TrainResult result = run.go(folder);
  EXPECT_TRUE(result.preempted);
  EXPECT_EQ(result.iteration, 4);
  EXPECT_EQ(find_checkpoint(folder, "auto", std::cerr), folder.checkpoint(4));
}

TEST(TrainingLoop, AveragesAccumulatedParts) {
  TemporaryFolder temporary;
  TinyRun whole, parts;
  for (TinyRun* run : {&whole, &parts}) {
    run->train.iterations = 1;
    run->train.schedule = {};
    run->train.optimiser = {.kind = "sgd", .lr = 0.1};
    run->train.clip_gradients = 0;  // would hide a wrong scale
    run->train.total_batch = 2;
  }
  parts.train.accumulation = 2;
  // Without dropout a mean over two clips is the mean of two means.
  const RunFolder whole_folder(temporary / "whole"), parts_folder(temporary / "parts");
  whole.go(whole_folder, "", [](TinySource& source) { source.dropout = 0; });
  parts.go(parts_folder, "", [](TinySource& source) { source.dropout = 0; });
  for (size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(whole.model.named()[i].tensor.allclose(parts.model.named()[i].tensor, 1e-5, 1e-6));
  EXPECT_NEAR(metrics(whole_folder)[0]["terms"]["error"],
              metrics(parts_folder)[0]["terms"]["error"], 1e-5);
  EXPECT_EQ(read_train_state(parts_folder.checkpoint(1)).consumed_samples, 2);
}

TEST(TrainingLoop, KeepsTheWeightsOfTheBestValidation) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run;
  run.train.evaluate_every = 4;
  const std::vector<double> scores{0.2, 0.5, 0.3};  // at iterations 4, 8 and 10, the last
  size_t asked = 0;
  at::Tensor at_best;
  run.settings.validate = [&] {
    if (asked == 1) at_best = run.model.named()[0].tensor.clone();
    return std::vector<evaluation::Stat>{{"AP", scores.at(asked++)}, {"AP50", 0.9}};
  };
  std::ostringstream shown;
  run.settings.progress = &shown;
  run.settings.categories = R"([{"id":7,"name":"cat"}])";
  const TrainResult result = run.go(folder);
  EXPECT_EQ(asked, 3u);
  // Both files of weights carry the categories that they were trained on.
  for (const auto& file : {folder.best_weights(), folder.last_weights()})
    EXPECT_EQ(read_safetensors(file).metadata.at("categories"), run.settings.categories);
  EXPECT_EQ(result.best, 0.5);
  EXPECT_EQ(read_train_state(folder.checkpoint(10)).best, 0.5);
  const SafetensorsFile best = read_safetensors(folder.best_weights());
  EXPECT_TRUE(at::equal(*best.find(run.model.named()[0].name), at_best));
  EXPECT_FALSE(at::equal(run.model.named()[0].tensor, at_best));
  std::vector<std::pair<int64_t, double>> written;
  for (const auto& line : metrics(folder))
    if (line.contains("validation"))
      written.emplace_back(line["iteration"], line["validation"]["AP"]);
  EXPECT_EQ(written, (std::vector<std::pair<int64_t, double>>{{4, 0.2}, {8, 0.5}, {10, 0.3}}));
  EXPECT_NE(shown.str().find("validation at iteration 8"), std::string::npos) << shown.str();
  EXPECT_NE(shown.str().find("AP 50.0  AP50 90.0"), std::string::npos) << shown.str();
}

TEST(TrainingLoop, ResumesTheBestScoreAndTheValidationsLines) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  const auto go = [&](const std::string& resume, double score, std::optional<int64_t> stop) {
    TinyRun run;
    run.train.evaluate_every = 3;
    run.settings.stop_at = stop;
    run.settings.validate = [=] { return std::vector<evaluation::Stat>{{"AP", score}}; };
    return run.go(folder, resume);
  };
  go("", 0.6, 6);
  const auto best = read_file(folder.best_weights());
  const TrainResult result = go("auto", 0.4, std::nullopt);
  EXPECT_EQ(result.best, 0.6);
  EXPECT_EQ(read_file(folder.best_weights()), best) << "a lower score keeps the better weights";
  size_t lines = 0;
  for (const auto& line : metrics(folder)) lines += line.contains("validation");
  EXPECT_EQ(lines, 4u);  // 3, 6, 9, 10
}

TEST(TrainingLoop, GivesEachGroupItsSchedule) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run;
  const TinyModel before;
  run.train.groups = {{.pattern = "^backbone", .schedule = "late"}};
  run.train.schedules = {
      {"late", test_support::read_options<ScheduleOptions>("wait_iterations = 4")}};
  run.settings.stop_at = 4;
  run.go(folder);
  EXPECT_TRUE(run.model.first.equal(before.first)) << "stands still for four steps";
  EXPECT_FALSE(run.model.second.equal(before.second));
  TinyRun more;
  more.train = run.train;
  more.go(folder, "auto");
  EXPECT_FALSE(more.model.first.equal(before.first));
}

TEST(TrainingLoop, TrainingOnlyTensorsStayOutOfWeightFiles) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run;
  std::vector<NamedTensor> tensors = run.model.named();
  tensors.push_back({"loss.cell.weight", at::ones({2}).set_requires_grad(true), true});
  TinySource source(run.model, run.train.total_batch, 0);
  run_training(run.train, tensors, source, folder, run.settings);
  EXPECT_EQ(read_safetensors(folder.last_weights()).find("loss.cell.weight"), nullptr);
  EXPECT_NE(read_safetensors(folder.checkpoint(10)).find("model.loss.cell.weight"), nullptr);
}

/// A source with a network beside the model that must learn the model's error from its input.
class JudgedSource final : public LossSource {
 public:
  JudgedSource(const TinyModel& model, at::Tensor judge, int64_t position)
      : source_(model, 4, position), judge_(std::move(judge)) {}
  void fetch() override { source_.fetch(); }
  void prepare(const std::function<void(int64_t)>& seed) override { source_.prepare(seed); }
  std::vector<uint64_t> random_key(int64_t part) const override { return source_.random_key(part); }
  PartialLoss compute(int64_t part) override {
    PartialLoss loss = source_.compute(part);
    const at::Tensor error = loss.total;
    // Not detached, against the contract: the model must be left alone all the same.
    loss.auxiliary_totals = {(judge_.sum() - error).square()};
    loss.total = loss.total + 0.1 * judge_.sum() * error.detach();
    return loss;
  }
  std::string origin(int64_t part) const override { return source_.origin(part); }

 private:
  TinySource source_;
  at::Tensor judge_;
};

TEST(TrainingLoop, TrainsAuxiliaryNetworksBesideTheModel) {
  TemporaryFolder temporary;
  struct Judged {
    TinyRun run;
    at::Tensor judge = TinyModel::parameter({3}, 9);
    void go(const RunFolder& folder, const std::string& resume, std::optional<int64_t> stop) {
      run.settings.resume = find_checkpoint(folder, resume, std::cerr);
      run.settings.stop_at = stop;
      run.settings.auxiliaries = {
          {"judge",
           {{"auxiliary.judge.weight", judge, true}},
           test_support::read_options<OptimiserOptions>(
               "kind = \"sgd\"\nlr = 0.02\nmomentum = 0.5"),
           test_support::read_options<ScheduleOptions>("kind = \"step\"\ndrops = [4]"),
           0.0}};
      const int64_t position =
          run.settings.resume ? read_train_state(*run.settings.resume).consumed_samples : 0;
      JudgedSource source(run.model, judge, position);
      run_training(run.train, run.model.named(), source, folder, run.settings);
    }
  };
  const RunFolder whole_folder(temporary / "whole"), parts_folder(temporary / "parts");
  Judged whole, first, second;
  TinyRun plain;
  const RunFolder plain_folder(temporary / "plain");
  plain.go(plain_folder);
  whole.go(whole_folder, "", std::nullopt);
  // The judge's losses reach the judge alone, the model's the model alone.
  EXPECT_TRUE(whole.run.model.equals(plain.model));
  EXPECT_FALSE(whole.judge.equal(TinyModel::parameter({3}, 9)));
  const SafetensorsFile stored = read_safetensors(whole_folder.checkpoint(10));
  EXPECT_TRUE(stored.find("model.auxiliary.judge.weight")->equal(whole.judge));
  EXPECT_NE(stored.find("auxiliary.judge.optimiser.momentum_buffer.auxiliary.judge.weight"),
            nullptr);
  EXPECT_EQ(read_safetensors(whole_folder.last_weights()).find("auxiliary.judge.weight"), nullptr);
  first.go(parts_folder, "", 6);
  second.go(parts_folder, "auto", std::nullopt);
  EXPECT_TRUE(second.judge.equal(whole.judge));
  EXPECT_TRUE(second.run.model.equals(whole.run.model));
}

TEST(TrainingLoop, RefusesWhatWouldMixTwoRuns) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run, again, other;
  run.go(folder);
  expect_error<ConfigError>([&] { again.go(folder); },
                            {"checkpoint-10.safetensors", "--resume auto"});
  other.train.seed = 5;
  expect_error<ConfigError>([&] { other.go(folder, "auto"); }, {"train.seed", "5"});
  TinyRun beyond;
  beyond.settings.stop_at = 11;
  expect_error<ConfigError>([&] { beyond.go(RunFolder(temporary / "new")); },
                            {"--iterations", "11"});
}

TEST(TrainingLoop, DoesNothingMoreWhereTheRunIsDone) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  TinyRun run, again;
  run.go(folder);
  const TrainResult result = again.go(folder, "auto");
  EXPECT_EQ(result.iteration, 10);
  EXPECT_FALSE(result.last_loss.has_value());
  EXPECT_EQ(metrics(folder).size(), 6u);
}

}  // namespace
}  // namespace tessera
