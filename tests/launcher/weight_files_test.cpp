// Several weight files, each with rules of its own, and parts that adapt a file's tensors.

#include "launcher/weights/weight_files.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "launcher/training/first_weights.h"
#include "launcher/weights/initial_weights.h"
#include "launcher/weights/model_weights.h"
#include "tests/launcher/stage_parts.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

using test_support::expect_error;
using test_support::TemporaryFolder;

struct ModelAndWeights {
  ModelOptions model;
  WeightsOptions weights;
  static void describe(Schema<ModelAndWeights>& schema) {
    schema.field("model", &ModelAndWeights::model, "The parts.");
    schema.field("weights", &ModelAndWeights::weights, "The files.");
  }
};

bool is_tracker(const std::string& name) {
  return name.starts_with("stages.tracker.");
}

/// A segmenter and a tracker that reads it, with a file for each.
class WeightFiles : public testing::Test {
 protected:
  WeightFiles() {
    stage_parts::add_all(registry_);
    model_ = compose("");
    TensorList segmenter, tracker;
    for (const NamedTensor& tensor : model_->named_tensors()) {
      const std::string& name = tensor.name;
      if (is_tracker(name))
        tracker.emplace_back("refiner." + name.substr(std::string("stages.tracker.").size()),
                             at::full_like(tensor.tensor, 4));
      else
        segmenter.emplace_back("net." + name, at::full_like(tensor.tensor, 3));
    }
    tracker.emplace_back("iteration", at::ones({1}));
    write_safetensors(folder_ / "segmenter.safetensors", segmenter);
    write_safetensors(folder_ / "tracker.safetensors", tracker);
    segmenter_.path = (folder_ / "segmenter.safetensors").string();
    segmenter_.prefix = "net.";
    tracker_.path = (folder_ / "tracker.safetensors").string();
    tracker_.rename = {{"^refiner\\.", "stages.tracker."}};
    tracker_.ignore = {"^iteration$"};
  }

  ModelAndWeights read(const std::string& toml) {
    const std::string stage =
        "decoder = { plugin = \"test_decoder\" }\ninstance_head = { plugin = \"class_box\", "
        "label_offset = 0 }\n"
        "mask_head = { plugin = \"dot_product\", features = \"encoder\", position = false }\n";
    ModelAndWeights read;
    ReadContext context(&registry_);
    schema_of<ModelAndWeights>().read(
        &read,
        parse_toml("[model]\nbackbone = \"token_backbone\"\nencoder = \"token_encoder\"\n" + stage +
                       "[[model.stages]]\nname = \"tracker\"\n" + stage + toml,
                   "test.toml"),
        "", context);
    context.throw_if_failed();
    return read;
  }
  std::shared_ptr<VisModel> compose(const std::string& toml) {
    return std::make_shared<VisModel>(read(toml).model, ClipFacts{4, 1});
  }

  int64_t count(double value, bool of_tracker) const {
    int64_t count = 0;
    for (const NamedTensor& tensor : model_->named_tensors())
      if (is_tracker(tensor.name) == of_tracker)
        count += tensor.tensor.eq(value).all().item<bool>() ? 1 : 0;
    return count;
  }
  int64_t count_all(bool of_tracker) const {
    const auto tensors = model_->named_tensors();
    return std::count_if(tensors.begin(), tensors.end(), [&](const NamedTensor& tensor) {
      return is_tracker(tensor.name) == of_tracker;
    });
  }

  TemporaryFolder folder_;
  Registry registry_{Registry::default_search_paths()};
  std::shared_ptr<VisModel> model_;
  WeightFileOptions segmenter_, tracker_;
};

TEST_F(WeightFiles, TogetherGiveEachTensorByRulesOfTheirOwn) {
  const std::vector<FileLoad> loads = load_weight_files(*model_, {segmenter_, tracker_});
  EXPECT_EQ(count(3, false), count_all(false));
  EXPECT_EQ(count(4, true), count_all(true));
  ASSERT_EQ(loads.size(), 2u);
  EXPECT_EQ(loads[0].file, segmenter_.path);
  EXPECT_EQ(loads[0].report.loaded.size(), static_cast<size_t>(count_all(false)));
  EXPECT_EQ(loads[1].report.loaded.size(), static_cast<size_t>(count_all(true)));
  EXPECT_EQ(loads[1].report.ignored, std::vector<std::string>{"iteration"});
  EXPECT_TRUE(loads[0].report.adapted.empty());
}

TEST_F(WeightFiles, NameWhatIsMissingWithItsStageAndTouchNothing) {
  expect_error<DataError>([&] { load_weight_files(*model_, {segmenter_}); },
                          {"missing (in the model, in no file)",
                           "stages.tracker.decoder.queries [3, 16] (stage tracker)"});
  expect_error<DataError>(
      [&] { load_weight_files(*model_, {tracker_}); },
      {"decoder.queries [3, 16] (stage segmenter)", "backbone.prefix [2, 8]\n"});
  EXPECT_EQ(count(3, false), 0);
  EXPECT_EQ(count(4, true), 0);
}

TEST_F(WeightFiles, GiveATensorTwiceOnlyWhereTheLaterReplaces) {
  const TensorList more{{"queries", at::full({3, 16}, 5.0f)}};
  write_safetensors(folder_ / "queries.safetensors", more);
  WeightFileOptions queries;
  queries.path = (folder_ / "queries.safetensors").string();
  queries.rename = {{"^queries$", "decoder.queries"}};
  expect_error<DataError>(
      [&] {
        load_weight_files(*model_, {segmenter_, tracker_, queries});
      },
      {"given by two files", "decoder.queries: ", "segmenter.safetensors and ",
       "queries.safetensors", "replace = true"});
  EXPECT_EQ(count(3, false), 0);
  queries.replace = true;
  const auto loads = load_weight_files(*model_, {segmenter_, tracker_, queries});
  EXPECT_EQ(count(5, false), 1);
  EXPECT_EQ(loads[2].report.loaded, std::vector<std::string>{"decoder.queries"});
  EXPECT_EQ(loads[2].report.replaced, std::vector<std::string>{"decoder.queries"});
  EXPECT_EQ(loads[0].report.loaded.size() + 1, static_cast<size_t>(count_all(false)));
  // The order counts: the segmenter's file does not replace.
  expect_error<DataError>(
      [&] {
        load_weight_files(*model_, {queries, segmenter_, tracker_});
      },
      {"decoder.queries: ", "queries.safetensors and "});
}

TEST_F(WeightFiles, MayBePickled) {
  std::string name;  // of a tensor of the fixture's shape
  for (const NamedTensor& tensor : model_->named_tensors()) {
    if (is_tracker(tensor.name) && tensor.tensor.sizes() == at::IntArrayRef({2}))
      name = tensor.name;
  }
  ASSERT_NE(name, "");
  WeightFileOptions pickled;
  pickled.path = std::string(TESSERA_SOURCE_DIR) + "/tests/pickle/fixtures/checkpoint.pth";
  pickled.key = "model";
  pickled.rename = {{"^0\\.bias$", name}};
  pickled.ignore = {"^1\\.", "weight"};
  pickled.replace = true;
  const auto loads = load_weight_files(*model_, {segmenter_, tracker_, pickled});
  EXPECT_EQ(loads[2].report.loaded, std::vector<std::string>{name});
  for (const NamedTensor& tensor : model_->named_tensors()) {
    if (tensor.name == name) {
      EXPECT_TRUE(tensor.tensor.equal(at::tensor({-1.75f, -1.625f})));
    }
  }
}

TEST_F(WeightFiles, LeaveFreshWhatNoOtherFileGives) {
  segmenter_.skip = {"^stages\\.tracker\\."};
  const auto loads = load_weight_files(*model_, {segmenter_});
  EXPECT_EQ(loads[0].report.fresh.size(), static_cast<size_t>(count_all(true)));
  EXPECT_EQ(count(3, false), count_all(false));
  // Another file may give what the rules of the first leave fresh.
  EXPECT_TRUE(load_weight_files(*model_, {segmenter_, tracker_})[0].report.fresh.empty());
  EXPECT_EQ(count(4, true), count_all(true));
}

TEST_F(WeightFiles, ListTheMistakesOfEachFile) {
  segmenter_.prefix = "model.";
  expect_error<DataError>(
      [&] {
        load_weight_files(*model_, {segmenter_, tracker_});
      },
      {"segmenter.safetensors gives no tensor of the model", "outside its prefix"});
  segmenter_.prefix = "net.";
  tracker_.ignore.clear();
  tracker_.rename.push_back({"mix\\.bias", "mix.weight"});
  expect_error<DataError>(
      [&] {
        load_weight_files(*model_, {segmenter_, tracker_});
      },
      {"1 unexpected in ", "iteration [1]", "1 given twice by ", "tracker.safetensors",
       "stages.tracker.decoder.mix.bias [16] (stage tracker)"});
}

TEST_F(WeightFiles, AreReadFromAnExperiment) {
  test_support::write_file(folder_ / "rules.toml",
                           "[weights]\nprefix = \"module.\"\nrename = [{ from = \"^refiner\", to = "
                           "\"tracker\" }]\n");
  const WeightsOptions options =
      read(
          "[[weights.files]]\npath = \"a.pth\"\nprefix = \"net.\"\n"
          "[[weights.files]]\npath = \"b.pth\"\nreplace = true\n"
          "rules = \"" +
          (folder_ / "rules.toml").string() + "\"\nrename = [{ from = \"^\", to = \"stages.\" }]\n")
          .weights;
  ASSERT_EQ(options.files.size(), 2u);
  EXPECT_EQ(options.files[0].prefix, "net.");
  EXPECT_FALSE(options.files[0].replace);
  const WeightRules rules = options.files[1].all_rules();
  EXPECT_EQ(rules.prefix, "module.");
  ASSERT_EQ(rules.rename.size(), 2u);
  EXPECT_EQ(rules.rename[0].to, "tracker");
  EXPECT_EQ(rules.rename[1].to, "stages.");
  expect_error<ConfigError>(
      [&] { read("[weights]\ninit = \"a\"\n[[weights.files]]\npath = \"b\"\n"); },
      {"weights", "files: expected it or init, got both"});
  expect_error<ConfigError>([&] { read("[[weights.files]]\nprefix = \"a\"\n"); },
                            {"weights.files", "path"});
  expect_error<ConfigError>([&] { read("[[weights.files]]\npath = \"a\"\nskip = [\"(\"]\n"); },
                            {"weights.files", "skip"});
  // They are the weights that a recipe starts from.
  WeightsOptions recipe = options;
  recipe.starts_from = "official.pth";
  expect_initial_weights(recipe, "a.toml");
  // A file or nothing on the command line takes their place.
  WeightsOptions chosen = options;
  choose_weights(chosen, {"mine.pth", "", false});
  EXPECT_TRUE(chosen.files.empty());
  EXPECT_EQ(chosen.init, "mine.pth");
  chosen = options;
  choose_weights(chosen, {"", "", true});
  EXPECT_TRUE(chosen.files.empty());
  expect_error<ConfigError>(
      [&] {
        choose_weights(chosen = options, {"", "none", false});
      },
      {"--rules", "--weights"});
}

TEST_F(WeightFiles, MayHaveTensorsThatAPartAdapts) {
  at::Tensor prefix = at::arange(40).to(at::kFloat).reshape({5, 8});
  write_safetensors(folder_ / "prefix.safetensors", {{"prefix", prefix}});
  WeightFileOptions longer;
  longer.path = (folder_ / "prefix.safetensors").string();
  longer.rename = {{"^prefix$", "backbone.prefix"}};
  longer.replace = true;
  const auto loads = load_weight_files(*model_, {segmenter_, tracker_, longer});
  EXPECT_EQ(loads[2].report.adapted, std::vector<std::string>{"backbone.prefix: [5, 8] -> [2, 8]"});
  EXPECT_NE(loads[2].report.text().find("adapted by their parts: backbone.prefix"),
            std::string::npos);
  for (const NamedTensor& tensor : model_->named_tensors()) {
    if (tensor.name == "backbone.prefix") {
      EXPECT_TRUE(tensor.tensor.equal(prefix.narrow(0, 0, 2)));
    }
  }
  // What the part cannot adapt is refused as before.
  write_safetensors(folder_ / "prefix.safetensors", {{"prefix", prefix.narrow(1, 0, 4)}});
  expect_error<DataError>(
      [&] {
        load_weight_files(*model_, {segmenter_, tracker_, longer});
      },
      {"backbone.prefix: [2, 4] in the file, [2, 8] in the model"});
}

TEST_F(WeightFiles, APartAdaptsTensorsUnderTheModelsReleasedNames) {
  model_ = compose("[[model.names]]\nfrom = '^backbone\\.(?=prefix)'\nto = 'trunk.0.'\n");
  TensorList tensors;
  for (const NamedTensor& tensor : model_->named_tensors())
    tensors.emplace_back(tensor.name, tensor.name == "trunk.0.prefix"
                                          ? at::full({5, 8}, 3.0f)
                                          : at::full_like(tensor.tensor, 3));
  write_safetensors(folder_ / "one.safetensors", tensors);
  for (const bool is_finished : {false, true}) {
    const LoadReport report =
        is_finished ? load_finished_weights(*model_, folder_ / "one.safetensors", {}, {})
                    : load_initial_weights(*model_, folder_ / "one.safetensors", {}, {});
    EXPECT_EQ(report.adapted, std::vector<std::string>{"backbone.prefix: [5, 8] -> [2, 8]"});
  }
  EXPECT_EQ(count(3, false), count_all(false));
}

}  // namespace
}  // namespace tessera
