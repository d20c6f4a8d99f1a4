// Each system of the design's table, in small: composed from plain TOML, trained for a step, its
// gradients recomputed, its weights saved and loaded stage by stage.

#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include <algorithm>
#include <cmath>
#include <regex>

#include "launcher/weights/load_weights.h"
#include "tests/contract/mock_system.h"
#include "tests/training/temporary_folder.h"

namespace tessera::rows_test {
namespace {

using test_support::expect_same_output;
using test_support::MockSystem;
using test_support::TemporaryFolder;

struct SystemRow {
  const char* name;
  std::vector<std::string> stages;
  const char* frozen;  // a pattern of parameters that are not trained
  const char* unread;  // a pattern of parameters that no loss depends on
};

void PrintTo(const SystemRow& row, std::ostream* out) {
  *out << row.name;
}

const char* const kNothing = "^$";
const char* const kFirstStage = R"(^(backbone|encoder|decoder|instance_head|mask_head)\.)";

std::vector<SystemRow> rows() {
  return {
      {"videomt", {"segmenter"}, kNothing, R"(^encoder\.|box)"},
      {"pmt", {"segmenter"}, R"(^backbone\.)", R"(^encoder\.|box)"},
      {"dvis_online", {"segmenter", "tracker"}, kFirstStage, "box"},
      {"dvis_offline",
       {"segmenter", "tracker", "refiner"},
       R"(^(backbone|encoder|decoder|instance_head|mask_head)\.|^stages\.tracker\.)",
       "box"},
      {"dvis_plus", {"segmenter", "tracker"}, kFirstStage, "box"},
      {"ctvis", {"segmenter"}, kNothing, "box"},
      {"vita", {"segmenter", "clip"}, kNothing, "box"},
      {"genvis", {"segmenter", "clip"}, kFirstStage, "box"},
      {"maskfreevis", {"segmenter"}, kNothing, kNothing},
  };
}

std::vector<SystemRow> staged_rows() {
  std::vector<SystemRow> staged = rows();
  std::erase_if(staged, [](const SystemRow& row) { return row.stages.size() == 1; });
  return staged;
}

class SystemRows : public testing::TestWithParam<SystemRow> {
 protected:
  static bool is_frozen(const std::string& name) {
    return std::regex_search(name, std::regex(GetParam().frozen));
  }
  static bool is_unread(const std::string& name) {
    return std::regex_search(name, std::regex(GetParam().unread));
  }
};

TEST_P(SystemRows, AreComposedOfNamedStages) {
  const MockSystem system(GetParam().name);
  std::vector<std::string> names;
  for (size_t i = 0; i < system.model.num_stages(); ++i)
    names.push_back(system.model.stage_name(i));
  EXPECT_EQ(names, GetParam().stages);
  for (const NamedTensor& tensor : system.model.named_tensors())
    EXPECT_TRUE(std::regex_search(
        tensor.name, std::regex(R"(^(stages\.(tracker|refiner|clip)\.)?(decoder|instance_head|)"
                                R"(mask_head)\.|^backbone\.|^encoder\.)")))
        << tensor.name;
}

TEST_P(SystemRows, TrainWhatIsNotFrozen) {
  MockSystem system(GetParam().name);
  const CriterionResult result = system.train_step();
  EXPECT_TRUE(std::isfinite(result.total.item<double>()));
  EXPECT_GT(result.total.item<double>(), 0);
  std::map<std::string, at::Tensor> before;
  for (const NamedTensor& tensor : system.model.named_tensors()) {
    if (!tensor.is_parameter) continue;
    before[tensor.name] = tensor.tensor.detach().clone();
    EXPECT_EQ(tensor.tensor.requires_grad(), !is_frozen(tensor.name)) << tensor.name;
    const at::Tensor gradient = tensor.tensor.grad();
    const bool has_gradient = gradient.defined() && gradient.abs().max().item<double>() > 0;
    EXPECT_EQ(has_gradient, !is_frozen(tensor.name) && !is_unread(tensor.name)) << tensor.name;
  }
  torch::optim::Adam optimiser(system.model.parameters(), torch::optim::AdamOptions(1e-2));
  optimiser.step();
  for (const auto& [name, value] : before)
    EXPECT_EQ(system.model.named_parameters()[name].equal(value),
              is_frozen(name) || is_unread(name))
        << name;
}

TEST_P(SystemRows, LearnTheirClips) {
  MockSystem system(GetParam().name);
  std::vector<at::Tensor> trained;
  for (const at::Tensor& parameter : system.model.parameters())
    if (parameter.requires_grad()) trained.push_back(parameter);
  torch::optim::Adam optimiser(trained, torch::optim::AdamOptions(1e-2));
  const double first = system.train_step().total.item<double>();
  double last = first;
  for (int step = 0; step < 30; ++step) {
    optimiser.step();
    last = system.train_step().total.item<double>();
  }
  EXPECT_LT(last, first);
}

// With another list of fields a new tensor would lose its gradient in the second run.
TEST_P(SystemRows, GiveTheSameGradientsWhenRecomputed) {
  const auto gradients = [](const Recomputed& what) {
    MockSystem system(GetParam().name);
    system.model.recompute_activations(what);
    system.train_step();
    std::map<std::string, at::Tensor> found;
    for (const NamedTensor& tensor : system.model.named_tensors())
      if (tensor.is_parameter && tensor.tensor.requires_grad())
        found[tensor.name] =
            tensor.tensor.grad().defined() ? tensor.tensor.grad() : at::zeros_like(tensor.tensor);
    return found;
  };
  const auto expected = gradients({});
  std::vector<Recomputed> choices{{.backbone = true},
                                  {.encoder = true},
                                  {.masks = true},
                                  {.masks = true, .mask_rows = 1},
                                  {.backbone = true, .encoder = true, .masks = true}};
  if (std::string(GetParam().name) == "videomt")
    choices.push_back({.backbone = true, .encoder = true, .decoder = true, .masks = true});
  for (size_t choice = 0; choice < choices.size(); ++choice)
    for (const auto& [name, gradient] : gradients(choices[choice]))
      EXPECT_TRUE(at::allclose(gradient, expected.at(name), 1e-4, 1e-6))
          << name << " with choice " << choice;
}

TEST_P(SystemRows, KeepTheirOutputsInAWeightFile) {
  const TemporaryFolder folder;
  MockSystem written(GetParam().name), read(GetParam().name, {}, /*seed=*/5);
  save_weights(written.model, folder / "weights.safetensors");
  const LoadReport report = load_weights(read.model.named_tensors(), folder / "weights.safetensors",
                                         read.experiment.weights);
  EXPECT_EQ(report.loaded.size(), read.model.named_tensors().size());
  const at::NoGradGuard no_grad;
  written.model.eval();
  read.model.eval();
  const VisModel::Output expected = written.model.forward(written.batch, {}),
                         found = read.model.forward(written.batch, {});
  for (size_t i = 0; i < expected.stages.size(); ++i)
    expect_same_output(found.stages[i], expected.stages[i]);
}

class StagedRows : public SystemRows {};

TEST_P(StagedRows, TakeASegmentersWeightsIntoTheFirstStage) {
  const TemporaryFolder folder;
  MockSystem read(GetParam().name, {}, /*seed=*/5);
  ModelOptions alone = read.experiment.model;
  alone.stages.clear();
  at::manual_seed(4);
  VisModel segmenter(alone, read.experiment.clip_facts());
  save_weights(segmenter, folder / "segmenter.safetensors");
  EXPECT_THROW(load_weights(read.model.named_tensors(), folder / "segmenter.safetensors", {}),
               DataError);
  WeightsOptions rules;
  rules.skip = {R"(^stages\.)"};
  const LoadReport report =
      load_weights(read.model.named_tensors(), folder / "segmenter.safetensors", rules);
  EXPECT_EQ(report.loaded.size(), segmenter.named_tensors().size());
  EXPECT_EQ(report.fresh.size() + report.loaded.size(), read.model.named_tensors().size());
  const at::NoGradGuard no_grad;
  segmenter.eval();
  read.model.eval();
  expect_same_output(read.model.forward(read.batch, {}).stages.front(),
                     segmenter.forward(read.batch, {}).stages.front());
}

INSTANTIATE_TEST_SUITE_P(Systems, SystemRows, testing::ValuesIn(rows()),
                         [](const auto& info) { return std::string(info.param.name); });
INSTANTIATE_TEST_SUITE_P(Systems, StagedRows, testing::ValuesIn(staged_rows()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace tessera::rows_test
