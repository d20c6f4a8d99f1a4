// Weights as commands are given them: whole models, wrapped names, tables of names, frozen parts.

#include "launcher/weights/model_weights.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <regex>

#include "core/error.h"
#include "launcher/training/checkpoint.h"
#include "launcher/training/first_weights.h"
#include "launcher/training/optimiser.h"
#include "launcher/weights/checkpoint_format.h"
#include "launcher/weights/initial_weights.h"
#include "tests/launcher/composed_system.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using test_support::Composed;
using test_support::expect_error;
using test_support::TemporaryFolder;

using Names = std::vector<std::string>;

std::vector<RuleTable> shipped_tables() {
  return rule_tables_near(fs::path(TESSERA_SOURCE_DIR) / "experiments/vistr_r50.toml");
}

/// A small SimVTR, whose names are VisTR's, and a file with other numbers for it.
class ModelWeights : public testing::Test {
 protected:
  ModelWeights() : given_("smoke/simvtr"), model_("smoke/simvtr") {
    const at::NoGradGuard no_grad;
    for (const NamedTensor& tensor : given_.model.named_tensors()) tensor.tensor.fill_(3);
  }

  /// The given model's tensors with names that `rename` makes of theirs.
  fs::path write(const std::function<std::string(const std::string&)>& rename, TensorList more = {},
                 const TensorMetadata& metadata = {}) {
    TensorList tensors = std::move(more);
    for (const NamedTensor& tensor : given_.model.named_tensors())
      tensors.emplace_back(rename(tensor.name), tensor.tensor);
    write_safetensors(folder_ / "w.safetensors", tensors, metadata);
    return folder_ / "w.safetensors";
  }
  fs::path write_own(TensorList more = {}, const TensorMetadata& metadata = {}) {
    return write([](const std::string& name) { return name; }, std::move(more), metadata);
  }
  int64_t count_loaded() const {
    int64_t count = 0;
    for (const NamedTensor& tensor : model_.model.named_tensors())
      count += tensor.tensor.eq(3).all().item<bool>() ? 1 : 0;
    return count;
  }
  int64_t count_all() const { return static_cast<int64_t>(model_.model.named_tensors().size()); }
  std::string refusal(const fs::path& file, const WeightsOptions& rules, bool is_finished,
                      const std::vector<RuleTable>& tables = shipped_tables()) {
    try {
      is_finished ? load_finished_weights(model_.model, file, rules, tables)
                  : load_initial_weights(model_.model, file, rules, tables);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  Composed given_, model_;
};

TEST_F(ModelWeights, ProposeThePrefixThatExplainsAllDifferencesInOneLine) {
  for (const std::string prefix :
       {"module.", "model.", "_orig_mod.", "model._orig_mod.", "model_ema.", "anything.else."}) {
    const fs::path file = write([&](const std::string& name) { return prefix + name; });
    for (const bool is_finished : {false, true}) {
      const std::string message = refusal(file, {}, is_finished);
      EXPECT_NE(message.find("Add --set weights.prefix=" + prefix + " to the command."),
                std::string::npos)
          << message;
      EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 0) << message;
    }
    WeightsOptions rules;
    rules.prefix = prefix;
    // ... and what it proposes loads, into training and into a finished model.
    load_finished_weights(model_.model, file, rules, {});
    EXPECT_EQ(count_loaded(), count_all());
    load_initial_weights(model_.model, file, rules, {});
  }
}

TEST_F(ModelWeights, ProposeAPrefixBesideOtherTensors) {
  const fs::path file =
      write([](const std::string& name) { return "model." + name; }, {{"ema.w", at::ones({1})}});
  const std::string message = refusal(file, {}, false);
  EXPECT_NE(message.find("(all but 1)"), std::string::npos) << message;
  EXPECT_NE(message.find("weights.prefix=model. to the command."), std::string::npos) << message;
}

TEST_F(ModelWeights, ListEveryMistakeWithoutAnExplanation) {
  const fs::path file = write([](const std::string& name) {
    return std::regex_replace("net." + name, std::regex("class_embed"), "classifier");
  });
  const std::string message = refusal(file, {}, true);
  EXPECT_NE(message.find("missing (in the model, not in the file)"), std::string::npos) << message;
  EXPECT_NE(message.find("weights.reset"), std::string::npos);
}

TEST_F(ModelWeights, OfAFinishedModelFollowTheRulesUnlessTheNamesAreItsOwn) {
  WeightsOptions rules;
  rules.prefix = "net.";
  rules.rename = {{"^wrapped\\.", ""}};
  rules.skip = {"class_embed"};
  rules.reset = {"bbox_embed"};
  const LoadReport wrapped = load_finished_weights(
      model_.model, write([](const std::string& name) { return "net.wrapped." + name; }), rules,
      {});
  EXPECT_EQ(wrapped.note, "");
  EXPECT_TRUE(wrapped.fresh.empty());  // nothing would train what `skip` and `reset` leave fresh
  EXPECT_EQ(count_loaded(), count_all());
  const LoadReport own = load_finished_weights(model_.model, write_own(), rules, {});
  EXPECT_NE(own.note.find("the rules of [weights] were not applied"), std::string::npos);
  EXPECT_NE(own.text().find("were not applied"), std::string::npos);
}

TEST_F(ModelWeights, KeepTheModelUntouchedWhenRefused) {
  // All names but one fit, and the others could be copied.
  const fs::path file = write(
      [](const std::string& name) { return name == "vistr.class_embed.bias" ? "bias" : name; });
  for (const bool is_finished : {false, true}) {
    EXPECT_NE(refusal(file, {}, is_finished).find("missing"), std::string::npos);
    EXPECT_LT(count_loaded(), count_all() / 2);
  }
}

TEST_F(ModelWeights, LeaveOutTensorsThatCannotBeReadOnlyOnPurpose) {
  const auto content = [this] {
    WeightFile file = read_weights(write_own());
    file.unsupported = {{"scale", "a tensor of float8"}};
    return file;
  };
  WeightsOptions rules;
  expect_error<DataError>([&] { load_finished_weights(model_.model, content(), "w.pth", rules); },
                          {"w.pth", "scale: a tensor of float8", "weights.ignore"});
  EXPECT_LT(count_loaded(), count_all() / 2);
  rules.ignore = {"^scale$"};
  load_finished_weights(model_.model, content(), "w.pth", rules);
  EXPECT_EQ(count_loaded(), count_all());
}

TEST_F(ModelWeights, ProposeNoRulesThatLoadNothing) {
  WeightsOptions nothing;
  nothing.ignore = nothing.skip = {"."};
  const fs::path file =
      write([](const std::string& name) { return std::string(name.rbegin(), name.rend()); });
  const std::string message = refusal(file, {}, false, {{"nothing.toml", nothing}});
  EXPECT_EQ(message.find("--rules"), std::string::npos) << message;
  EXPECT_NE(message.find("missing"), std::string::npos) << message;
}

TEST_F(ModelWeights, OfATrainingCheckpointAreItsModel) {
  TensorList more{{"optimiser.first.x", at::ones({1})}, {"model.loss.cell.weight", at::ones({1})}};
  const fs::path file = write([](const std::string& name) { return "model." + name; }, more,
                              {{"format", std::string(kCheckpointFormat)}});
  const WeightFile content = read_weights(file);
  EXPECT_EQ(content.format, "Tessera checkpoint");
  const LoadReport report = load_finished_weights(model_.model, file, {}, {});
  EXPECT_EQ(count_loaded(), count_all());
  EXPECT_NE(report.text().find("training state"), std::string::npos) << report.text();
}

TEST_F(ModelWeights, NameTheTableThatFits) {
  // A ResNet of torchvision: the backbone's names before model.names, and a classifier.
  TensorList resnet{{"fc.weight", at::ones({10, 4})}};
  for (const NamedTensor& tensor : given_.model.named_tensors(NameStyle::kComposed))
    if (tensor.name.starts_with("backbone."))
      resnet.emplace_back(tensor.name.substr(std::string("backbone.").size()), tensor.tensor);
  write_safetensors(folder_ / "r.safetensors", resnet);
  const std::string message = refusal(folder_ / "r.safetensors", {}, false);
  const std::string table = "experiments/base/weights/torchvision_resnet.toml";
  EXPECT_NE(message.find("Add --rules "), std::string::npos) << message;
  EXPECT_NE(message.find(table + " to the command."), std::string::npos) << message;
  const WeightsOptions rules = chosen_rules({}, (fs::path(TESSERA_SOURCE_DIR) / table).string());
  const LoadReport report =
      load_initial_weights(model_.model, folder_ / "r.safetensors", rules, {});
  EXPECT_EQ(count_loaded(), static_cast<int64_t>(report.loaded.size()));
  EXPECT_EQ(report.loaded.size() + 1, resnet.size());
  EXPECT_TRUE(report.loaded.front().starts_with("backbone.")) << report.loaded.front();
  // The same, as DataParallel wraps it.
  for (auto& [name, tensor] : resnet) name = "module." + name;
  write_safetensors(folder_ / "r.safetensors", resnet);
  const std::string wrapped = refusal(folder_ / "r.safetensors", {}, false);
  EXPECT_NE(wrapped.find(table + " --set 'weights.prefix=\"module.\"' to the command."),
            std::string::npos)
      << wrapped;
}

TEST_F(ModelWeights, OfTheModelItselfProposeNoRules) {
  const WeightsOptions rules = chosen_rules(
      {},
      (fs::path(TESSERA_SOURCE_DIR) / "experiments/base/weights/torchvision_resnet.toml").string());
  EXPECT_NE(refusal(write_own(), rules, false).find("Add --rules none to the command."),
            std::string::npos);
  load_initial_weights(model_.model, write_own(), chosen_rules(rules, "none"), {});
  EXPECT_EQ(count_loaded(), count_all());
}

TEST_F(ModelWeights, ResetAPartThatTheFileHasUnderOtherNames) {
  // Another attention: the file's tensors are not the model's, and both are left out by one list.
  const fs::path file = write([](const std::string& name) {
    return std::regex_replace(name, std::regex("(self_attn\\.)(.*)"), "$1old_$2");
  });
  WeightsOptions rules;
  rules.reset = {"encoder\\.layers\\.\\d+\\.self_attn\\."};
  EXPECT_NE(refusal(file, rules, false).find("decoder"), std::string::npos);
  rules.reset = {"\\.self_attn\\."};
  const LoadReport report = load_initial_weights(model_.model, file, rules, {});
  EXPECT_FALSE(report.fresh.empty());
  EXPECT_EQ(report.fresh.size(), report.ignored.size());
  EXPECT_EQ(report.loaded.size() + report.fresh.size(), static_cast<size_t>(count_all()));
  EXPECT_TRUE(report.unused_patterns.empty());
  // The file's own tensors of these names are left out, too.
  const LoadReport own = load_initial_weights(model_.model, write_own(), rules, {});
  EXPECT_EQ(own.fresh, report.fresh);
}

TEST(InitialWeights, AreExpectedByARecipe) {
  WeightsOptions options;
  expect_initial_weights(options, "a.toml");
  options.starts_from = "official.pkl";
  expect_error<ConfigError>(
      [&] { expect_initial_weights(options, "a.toml"); },
      {"tessera train a.toml --weights official.pkl", "docs/weights.md", "--from-scratch"});
  options.init = "w.safetensors";
  expect_initial_weights(options, "a.toml");
  options.init.reset();
  options.from_scratch = true;
  expect_initial_weights(options, "a.toml");
}

TEST(InitialWeights, AreExpectedForFrozenParts) {
  const Composed trained("smoke/simvtr");
  WeightsOptions options;
  const auto check = [&](const Composed& system, const Names& loaded, const Names& frozen) {
    expect_no_random_frozen_part(system.model, NameStyle::kCanonical, loaded, frozen, options);
  };
  check(trained, {}, {});
  const Composed stem("smoke/simvtr", {"model.backbone.frozen_stages=1"});
  expect_error<ConfigError>([&] { check(stem, {}, {}); },
                            {"vistr.backbone.0.body.conv1.weight", "--from-scratch"});
  check(stem,
        {"vistr.backbone.0.body.conv1.weight", "vistr.backbone.0.body.bn1.weight",
         "vistr.backbone.0.body.bn1.bias"},
        {});
  // A norm with constant statistics and scales, and what train.frozen names.
  const Composed norms("smoke/simvtr", {"model.backbone.norm=frozen_batch"});
  expect_error<ConfigError>([&] { check(norms, {}, {}); }, {"bn1.weight"});
  expect_error<ConfigError>([&] { check(trained, {}, {"class_embed"}); },
                            {"vistr.class_embed.weight"});
  options.from_scratch = true;
  check(stem, {}, {});
}

TEST(InitialWeights, AreExpectedForFrozenPartsByName) {
  Composed system("smoke/simvtr", {"train.frozen_parts=[\"encoder\"]"});
  Experiment& experiment = system.experiment;
  experiment.weights = {};
  load_first_weights(system.model, experiment, "a.toml");  // nothing is frozen yet
  freeze_parts(system.model, experiment.train);
  for (const NamedTensor& tensor : system.model.named_tensors(NameStyle::kComposed))
    EXPECT_EQ(tensor.tensor.requires_grad(),
              tensor.is_parameter && !tensor.name.starts_with("encoder."))
        << tensor.name;
  expect_error<ConfigError>([&] { load_first_weights(system.model, experiment, "a.toml"); },
                            {"none for", "train.frozen_parts", "--from-scratch"});
  // The optimiser has no group for what is frozen, and the mode stays when training goes on.
  for (const ParameterGroup& group :
       make_groups(system.model.named_tensors(), experiment.train.optimiser, {}))
    for (const std::string& name : group.names)
      EXPECT_EQ(name.find("transformer.encoder"), std::string::npos) << name;
  system.model.train();
  EXPECT_FALSE(system.model.named_modules("", false)["encoder"]->is_training());
  EXPECT_TRUE(system.model.named_modules("", false)["decoder"]->is_training());
  experiment.train.frozen_mode = "train";
  freeze_parts(system.model, experiment.train);
  system.model.train();
  EXPECT_TRUE(system.model.named_modules("", false)["encoder"]->is_training());
  experiment.weights.from_scratch = true;
  load_first_weights(system.model, experiment, "a.toml");
  experiment.train.frozen_parts = {"encode"};
  expect_error<ConfigError>([&] { freeze_parts(system.model, experiment.train); },
                            {"train.frozen_parts", "backbone, encoder, segmenter", "'encode'"});
}

}  // namespace
}  // namespace tessera
