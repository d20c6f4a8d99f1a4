// A loss term that remembers (Part::register_memory): in checkpoints, not in weights, and changed
// by training steps alone.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <iostream>
#include <set>

#include "core/losses/criterion.h"
#include "core/plugin/plugin.h"
#include "launcher/model/criterion_stages.h"
#include "launcher/model/noise_clip.h"
#include "launcher/training/memory_trial.h"
#include "launcher/training/step_batch.h"
#include "launcher/training/training_loop.h"
#include "launcher/weights/safetensors.h"
#include "tests/training/temporary_folder.h"

namespace tessera::loss_memory_test {
namespace {

using test_support::TemporaryFolder;

/// Keeps the mean class logit of the last four steps, and draws that of this step towards them.
class Bank final : public Loss {
 public:
  struct Options : LossTermOptions {
    static void describe(Schema<Options>& schema) { describe_term(schema); }
  };
  Bank(const Options&, const BuildContext&)
      : bank_(register_memory("bank", at::zeros({4}))),
        steps_(register_memory("steps", at::zeros({1}, at::kLong))) {}
  BatchSum batch_sum() const override { return BatchSum::predictions; }
  at::Tensor forward(const LossInput& input) override {
    const at::Tensor own = input.mean_over_batch(input.prediction.classes.logits.mean()).view({1});
    const at::Tensor loss = (own - bank_.detach().clone()).square().mean();
    const at::NoGradGuard no_grad;
    const at::Tensor all = input.gather_over_ranks(own);
    bank_.copy_(at::cat({bank_, all}).narrow(0, all.size(0), 4).clone());
    steps_ += 1;
    return loss;
  }

 private:
  at::Tensor bank_, steps_;
};

struct Banked {
  Registry registry{Registry::default_search_paths()};
  Experiment experiment;
  VisModel model;
  Criterion criterion;

  Banked()
      : experiment(load(registry)),
        model((at::manual_seed(4), experiment.model), experiment.clip_facts()),
        criterion(experiment.loss, model.facts(), criterion_stages(model)) {
    model.train();
    criterion.train();
  }
  static Experiment load(Registry& registry) {
    static const PluginDescriptor kBank = make_descriptor<Loss, Bank>("test_bank", "test");
    registry.add(kBank, "test");
    Experiment experiment = load_experiment(
        std::filesystem::path(TESSERA_SOURCE_DIR) / "experiments" / "smoke/simvtr.toml",
        {"loss.terms.bank.plugin=\"test_bank\"", "loss.terms.bank.layers=\"last\"",
         "train.iterations=4", "train.total_batch=2", "train.checkpoint_every=2"},
        registry);
    experiment.train.evaluate_every = 0;
    return experiment;
  }
  at::Tensor memory(const std::string& name) const {
    for (const NamedTensor& tensor : tensors_to_train(model, criterion))
      if (tensor.name == "loss.bank." + name) return tensor.tensor;
    return {};
  }
};

data::TrainingBatch clips_at(const Experiment& experiment, int64_t position) {
  data::TrainingBatch batch;
  batch.batch = noise_clip({experiment.data.num_frames, 32, 48}, 32, /*clips=*/2);
  batch.batch.frames = batch.batch.frames * (1 + 0.1 * static_cast<double>(position));
  batch.targets = moving_targets(batch.batch, 2, experiment.data.num_categories);
  batch.sample_indices = {position, position + 1};
  return batch;
}

/// Two clips a step; what it shows depends on the position alone. Notes the progress of each step.
class Source final : public LossSource {
 public:
  Source(Banked& trained, int64_t position, std::vector<double>& progress)
      : trained_(trained),
        losses_(trained.experiment, trained.model, trained.criterion, auxiliaries_),
        position_(position),
        progress_(progress) {}
  void set_progress(double progress) override { progress_.push_back(progress); }
  void fetch() override {
    batch_ = clips_at(trained_.experiment, position_);
    position_ += 2;
  }
  std::vector<uint64_t> random_key(int64_t) const override {
    return {static_cast<uint64_t>(position_)};
  }
  void prepare(const std::function<void(int64_t)>&) override {}
  PartialLoss compute(int64_t) override {
    PartialLoss loss = losses_.compute(batch_.batch, batch_.targets);
    loss.num_samples = 2;
    return loss;
  }
  std::string origin(int64_t) const override { return "noise"; }

 private:
  Banked& trained_;
  Auxiliaries auxiliaries_;
  ClipLosses losses_;
  data::TrainingBatch batch_;
  int64_t position_;
  std::vector<double>& progress_;
};

std::vector<double> train(Banked& trained, const RunFolder& folder, std::optional<int64_t> stop_at,
                          const std::string& resume = "") {
  TrainSettings settings;
  settings.samples_per_epoch = 8;
  settings.experiment = "[train]\n";
  settings.stop_at = stop_at;
  settings.resume = find_checkpoint(folder, resume, std::cerr);
  const int64_t position =
      settings.resume ? read_train_state(*settings.resume).consumed_samples : 0;
  std::vector<double> progress;
  Source source(trained, position, progress);
  run_training(trained.experiment.train, tensors_to_train(trained.model, trained.criterion), source,
               folder, settings);
  return progress;
}

TEST(LossMemory, AResumedRunIsTheUninterruptedOneBitForBit) {
  TemporaryFolder temporary;
  Banked whole, before, after;
  EXPECT_EQ(train(whole, RunFolder(temporary / "whole"), {}),
            (std::vector<double>{0, 0.25, 0.5, 0.75}));
  const RunFolder folder(temporary / "resumed");
  train(before, folder, 2);
  EXPECT_EQ(before.memory("steps").item<int64_t>(), 2);
  EXPECT_EQ(train(after, folder, {}, "auto"), (std::vector<double>{0.5, 0.75}));
  EXPECT_EQ(after.memory("steps").item<int64_t>(), 4);
  EXPECT_GT(after.memory("bank").abs().min().item<double>(), 0);
  const auto expected = tensors_to_train(whole.model, whole.criterion);
  const auto found = tensors_to_train(after.model, after.criterion);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_TRUE(found[i].tensor.equal(expected[i].tensor)) << found[i].name;

  const auto names = [](const std::filesystem::path& file) {
    std::set<std::string> all;
    for (const auto& [name, tensor] : read_safetensors(file).tensors) all.insert(name);
    return all;
  };
  EXPECT_TRUE(names(folder.checkpoint(4)).contains("model.loss.bank.bank"));
  for (const std::string& name : names(folder.last_weights()))
    EXPECT_EQ(name.find("bank"), std::string::npos) << name;
}

TEST(LossMemory, IsNeverAveragedOverRanks) {
  const Banked trained;
  int64_t memories = 0;
  for (const NamedTensor& tensor : tensors_to_train(trained.model, trained.criterion)) {
    EXPECT_EQ(tensor.is_memory, tensor.name.starts_with("loss.bank.")) << tensor.name;
    memories += tensor.is_memory ? 1 : 0;
  }
  EXPECT_EQ(memories, 2);
}

TEST(LossMemory, ForwardPassesThatAreNoTrainingLeaveItAlone) {
  Banked trained;
  const data::TrainingBatch batch = clips_at(trained.experiment, 0);
  const Auxiliaries none;
  const ClipLosses losses(trained.experiment, trained.model, trained.criterion, none);
  BatchNormaliser normaliser(losses, trained.model, trained.criterion, nullptr);
  normaliser.prepare(
      cut_into_parts(batch, 2), [](data::TrainingBatch&) {}, [](int64_t) {});
  EXPECT_EQ(trained.memory("steps").item<int64_t>(), 0);
  trained.experiment.train.memory = "500GB";
  choose_by_trial(trained.experiment, trained.model, trained.criterion, none, batch.batch,
                  batch.targets, Communicator());
  EXPECT_EQ(trained.memory("steps").item<int64_t>(), 0);
  EXPECT_EQ(trained.memory("bank").abs().max().item<double>(), 0);
  losses.compute(batch.batch, batch.targets);
  EXPECT_EQ(trained.memory("steps").item<int64_t>(), 1);
}

}  // namespace
}  // namespace tessera::loss_memory_test
