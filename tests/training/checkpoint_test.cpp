#include "launcher/training/checkpoint.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <iostream>
#include <sstream>

#include "core/error.h"
#include "tests/training/temporary_folder.h"
#include "tests/training/tiny_model.h"

namespace tessera {
namespace {

using test_support::expect_error;
using test_support::read_file;
using test_support::TemporaryFolder;
using test_support::TinyModel;
using test_support::write_file;

struct SavedRun {
  TinyModel model;
  Optimiser optimiser{{}, make_groups(model.named(), {}, {})};

  void step(int64_t seed) {
    at::manual_seed(seed);
    optimiser.zero_grad();
    model.forward(at::randn({5, 3})).square().sum().backward();
    optimiser.step(1.0);
  }
  std::filesystem::path save(const RunFolder& folder, int64_t iteration, int64_t keep = 2) {
    return save_checkpoint(folder,
                           {iteration, iteration * 4, 7, 0.1 + 0.2, "[train]\nseed = 7\n", ""},
                           model.named(), optimiser, keep);
  }
};

std::vector<int64_t> iterations(const RunFolder& folder) {
  std::vector<int64_t> found;
  for (const auto& [iteration, file] : folder.checkpoints()) found.push_back(iteration);
  return found;
}

TEST(Checkpoint, GoesOnBitForBit) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  SavedRun run, resumed;
  run.step(1);
  run.step(2);
  const auto file = run.save(folder, 2);
  EXPECT_EQ(file.filename(), "checkpoint-2.safetensors");
  const TrainState state = load_checkpoint(file, resumed.model.named(), resumed.optimiser);
  EXPECT_TRUE(resumed.model.equals(run.model));
  run.step(3);
  resumed.step(3);
  EXPECT_TRUE(resumed.model.equals(run.model));
  EXPECT_EQ(state.iteration, 2);
  EXPECT_EQ(state.consumed_samples, 8);
  EXPECT_EQ(state.seed, 7);
  EXPECT_EQ(state.best, 0.1 + 0.2);
  EXPECT_EQ(state.experiment, "[train]\nseed = 7\n");
  EXPECT_EQ(read_train_state(file).consumed_samples, 8);
}

TEST(Checkpoint, WritesWeightsForInferenceBeside) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  SavedRun run;
  run.step(1);
  run.save(folder, 1);
  const SafetensorsFile weights = read_safetensors(folder.last_weights());
  EXPECT_EQ(weights.tensors.size(), 4u);
  EXPECT_TRUE(weights.find("head.second.weight")->equal(run.model.second));
  EXPECT_EQ(weights.metadata.at("iteration"), "1");
}

// A run that is killed between the two would otherwise have nothing left to do, and old weights.
TEST(Checkpoint, WritesTheWeightsBeforeItself) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  SavedRun run;
  std::filesystem::create_directories(folder.last_weights() / "in the way");
  EXPECT_THROW(run.save(folder, 2), RuntimeError);
  EXPECT_TRUE(folder.checkpoints().empty());
}

TEST(Checkpoint, KeepsTheNewest) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  SavedRun run;
  for (const int64_t iteration : {9, 10, 100}) run.save(folder, iteration);
  EXPECT_EQ(iterations(folder), (std::vector<int64_t>{10, 100}));
}

TEST(Checkpoint, IsFoundByAutoAndByPath) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  EXPECT_EQ(find_checkpoint(folder, "", std::cerr), std::nullopt);
  EXPECT_EQ(find_checkpoint(folder, "auto", std::cerr), std::nullopt);
  SavedRun run;
  run.save(folder, 9);
  run.save(folder, 10);
  EXPECT_EQ(find_checkpoint(folder, "", std::cerr), std::nullopt);
  EXPECT_EQ(find_checkpoint(folder, "auto", std::cerr), folder.checkpoint(10));
  EXPECT_EQ(find_checkpoint(folder, folder.checkpoint(9).string(), std::cerr),
            folder.checkpoint(9));
  expect_error<DataError>([&] { find_checkpoint(folder, "none.safetensors", std::cerr); },
                          {"none.safetensors"});
  folder.expect_no_checkpoint_after(10);
  expect_error<ConfigError>([&] { folder.expect_no_checkpoint_after(9); },
                            {"checkpoint-10.safetensors", "--resume auto"});
}

TEST(Checkpoint, IgnoresAndClearsWhatAKilledProcessLeft) {
  TemporaryFolder temporary;
  const auto leftover = temporary / "run" / "checkpoint-20.safetensors.tmp-4711";
  SavedRun run;
  {
    const RunFolder folder(temporary / "run");
    run.save(folder, 10);
    write_file(leftover, read_file(folder.checkpoint(10)).substr(0, 200));
    write_file(temporary / "run" / "checkpoint-x.safetensors", "");
    EXPECT_EQ(find_checkpoint(folder, "auto", std::cerr), folder.checkpoint(10));
  }
  const RunFolder again(temporary / "run");
  EXPECT_FALSE(std::filesystem::exists(leftover));
  EXPECT_EQ(iterations(again), std::vector<int64_t>{10});
}

TEST(Checkpoint, IsRefusedByNameWhenDamaged) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  SavedRun run;
  run.step(1);
  const auto file = run.save(folder, 5);
  const std::string whole = read_file(file);
  auto load = [&] { load_checkpoint(file, run.model.named(), run.optimiser); };
  load();
  const std::vector<size_t> places{whole.size() - 1, whole.size() / 2, whole.find("[train]") + 3,
                                   whole.find("\"iteration\":\"5") + 13};
  const TinyModel before = run.model;
  for (const size_t place : places) {
    std::string damaged = whole;
    damaged[place] ^= 1;
    write_file(file, damaged);
    expect_error<DataError>(load, {"checkpoint-5.safetensors", "damaged"});
  }
  write_file(file, whole.substr(0, whole.size() - 4));
  expect_error<DataError>(load, {"checkpoint-5.safetensors", "cut short"});
  expect_error<DataError>([&] { read_train_state(file); },
                          {"checkpoint-5.safetensors", "cut short"});
  write_safetensors(file, {{"x", at::ones({1})}});
  expect_error<DataError>(load, {"checkpoint-5.safetensors", "'format'"});
}

TEST(Checkpoint, AutoFallsBackFromDamagedOnesByName) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  SavedRun run;
  run.step(1);
  for (const int64_t iteration : {5, 6, 7}) run.save(folder, iteration, 3);
  std::string damaged = read_file(folder.checkpoint(7));
  damaged[damaged.size() / 2] ^= 1;
  write_file(folder.checkpoint(7), damaged);
  write_file(folder.checkpoint(6), read_file(folder.checkpoint(6)).substr(0, 300));
  std::ostringstream notes;
  EXPECT_EQ(find_checkpoint(folder, "auto", notes), folder.checkpoint(5));
  EXPECT_NE(notes.str().find("checkpoint-7.safetensors.damaged"), std::string::npos) << notes.str();
  EXPECT_NE(notes.str().find("cut short"), std::string::npos) << notes.str();
  EXPECT_EQ(iterations(folder), std::vector<int64_t>{5});
  folder.expect_no_checkpoint_after(5);
  write_file(folder.checkpoint(5), "");
  expect_error<DataError>([&] { find_checkpoint(folder, "auto", notes); },
                          {"whole checkpoint", "checkpoint-5.safetensors"});
}

TEST(Checkpoint, IsRefusedForAnotherModel) {
  TemporaryFolder temporary;
  const RunFolder folder(temporary / "run");
  SavedRun run, other;
  const auto file = run.save(folder, 5);
  auto named = other.model.named();
  named[0].name = "backbone.renamed";
  expect_error<DataError>(
      [&] { load_checkpoint(file, named, other.optimiser); },
      {"checkpoint-5.safetensors", "backbone.renamed", "backbone.first.weight"});
}

TEST(RunFolder, SaysThatItCannotWrite) {
  TemporaryFolder temporary;
  write_file(temporary / "file", "");
  expect_error<RuntimeError>([&] { RunFolder(temporary / "file" / "run"); }, {"run", "--output"});
  const RunFolder folder(temporary / "run");
  folder.write_resolved("a = 1\n");
  EXPECT_EQ(read_file(folder.resolved()), "a = 1\n");
  std::filesystem::remove_all(temporary / "run");
  expect_error<RuntimeError>([&] { folder.write_resolved(""); }, {"resolved.toml"});
}

}  // namespace
}  // namespace tessera
