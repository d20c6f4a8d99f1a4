#include "launcher/weights/weight_file.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "launcher/weights/load_weights.h"
#include "launcher/weights/weight_rules.h"
#include "tests/training/temporary_folder.h"
#include "tests/training/tiny_model.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using test_support::expect_error;
using test_support::TemporaryFolder;
using test_support::TinyModel;

fs::path fixture(const std::string& name) {
  return fs::path(TESSERA_SOURCE_DIR) / "tests/pickle/fixtures" / name;
}

/// Every fixture has the same tensors beside it in safetensors, written by PyTorch itself.
TEST(WeightFile, ReadsWhatPyTorchAndNumPyWroteBitForBit) {
  int num_files = 0;
  for (const auto& entry : fs::directory_iterator(fixture(""))) {
    const fs::path path = entry.path();
    const std::string name = path.filename().string();
    if (path.extension() == ".safetensors" || name.starts_with("hostile_") ||
        name.starts_with("two_tables") || name == "nested.pth" || name == "unsupported.pth")
      continue;
    SCOPED_TRACE(name);
    ++num_files;
    EXPECT_TRUE(is_pickled(path));
    const WeightFile ours = read_weights(path);
    const TensorList theirs =
        read_weights(fs::path(path).replace_extension(".safetensors")).tensors;
    ASSERT_EQ(ours.tensors.size(), theirs.size());
    for (size_t i = 0; i < theirs.size(); ++i) {
      EXPECT_EQ(ours.tensors[i].first, theirs[i].first);
      EXPECT_EQ(ours.tensors[i].second.scalar_type(), theirs[i].second.scalar_type());
      EXPECT_TRUE(ours.tensors[i].second.equal(theirs[i].second)) << theirs[i].first;
    }
  }
  EXPECT_EQ(num_files, 16);
}

TEST(WeightFile, TensorsThatShareStorageShareMemory) {
  const WeightFile file = read_weights(fixture("odd_legacy.pth"));
  const auto find = [&](const std::string& name) {
    return std::find_if(file.tensors.begin(), file.tensors.end(),
                        [&](const auto& item) { return item.first == name; })
        ->second;
  };
  EXPECT_EQ(find("shared.first").data_ptr(), find("shared.second").data_ptr());
  EXPECT_TRUE(find("views.transposed").storage().is_alias_of(find("views.row").storage()));
}

TEST(WeightFile, WantsAKeyWhereThereAreSeveralTables) {
  expect_error<DataError>([] { read_weights(fixture("two_tables.pth")); },
                          {"two_tables.pth", "weights.key", "model, model_ema"});
  const WeightFile ema = read_weights(fixture("two_tables.pth"), "model_ema");
  EXPECT_EQ(ema.table, "model_ema");
  EXPECT_EQ(ema.tensors[0].second[0].item<float>(), 2.0f);
  EXPECT_EQ(ema.others.size(), 2u);  // step and the other table
  expect_error<DataError>([] { read_weights(fixture("two_tables.pth"), "ema"); }, {"'ema'"});
  expect_error<DataError>([] { read_weights(fixture("odd.safetensors"), "model"); },
                          {"weights.key", "safetensors"});
}

TEST(WeightFile, LoadsIntoAModelByTheRules) {
  TinyModel model;
  WeightsOptions options;
  options.rename = {{"^0\\.bias$", "head.offset"}};
  options.ignore = {"^1\\.", "weight"};
  options.skip = {"backbone", "second", "norm"};
  const LoadReport report = load_weights(model.named(), fixture("checkpoint.pth"), options);
  EXPECT_EQ(report.loaded, std::vector<std::string>{"head.offset"});
  EXPECT_TRUE(model.offset.equal(at::tensor({-1.75f, -1.625f}))) << model.offset;
  EXPECT_NE(report.text().find("optimizer"), std::string::npos);
  EXPECT_EQ(report.others.size(), 6u);
}

TEST(WeightFile, NeedsNoKeyForAFileThatIsOneTable) {
  expect_error<DataError>([] { read_weights(fixture("odd.safetensors"), "model"); },
                          {"weights.key"});
  for (const char* name : {"odd.safetensors", "state_dict.pth"}) {
    EXPECT_EQ(read_weights(fixture(name), "model", KeyUse::kIfTables).unused_key, "model") << name;
    EXPECT_EQ(read_weights(fixture(name), std::nullopt, KeyUse::kIfTables).unused_key, "");
  }
  expect_error<DataError>([] { read_weights(fixture("two_tables.pth"), "ema", KeyUse::kIfTables); },
                          {"'ema'", "It has: model, model_ema"});
  expect_error<DataError>([] { read_weights(fixture("nested.pth")); },
                          {"--key", "state.model, state.ema"});
  EXPECT_EQ(read_weights(fixture("nested.pth"), "state.ema").tensors.size(), 2u);
}

TEST(WeightFile, LeavesOutTensorsOfOtherTypesOnlyOnPurpose) {
  TinyModel model;
  WeightsOptions options;
  options.rename = {{"^weight$", "head.offset"}};
  options.skip = {"backbone", "second", "norm"};
  expect_error<DataError>([&] { load_weights(model.named(), fixture("unsupported.pth"), options); },
                          {"unsupported.pth", "4 others", "sparse: a tensor of", "weights.ignore"});
  options.ignore = {"complex", "float8", "array"};
  expect_error<DataError>([&] { load_weights(model.named(), fixture("unsupported.pth"), options); },
                          {"1 others"});
  options.ignore.emplace_back("sparse");
  load_weights(model.named(), fixture("unsupported.pth"), options);
  EXPECT_TRUE(model.offset.equal(at::tensor({-3.0f, -2.875f}))) << model.offset;
}

TEST(WeightFile, NamesWhatIsDownloadedInPlaceOfOne) {
  TemporaryFolder folder;
  const auto refusal = [&](const std::string& content) {
    test_support::write_file(folder / "w.pth", content);
    try {
      read_weights(folder / "w.pth");
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  std::string tar(512, '\0');
  tar.replace(0, 3, "sys");
  tar.replace(257, 5, "ustar");
  const std::vector<std::pair<std::string, std::string>> kinds{
      {"<!DOCTYPE html><html><head><title>Quota exceeded</title></head></html>", "an HTML page"},
      {"\xef\xbb\xbf \n<html lang=\"en\">", "an HTML page"},
      {"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "an XML page"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"},
      {std::string("\x1f\x8b\x08\x08\0\0\0\0\0\x03w.pth", 15), "a gzip file"},
      {"BZh91AY&SY012345", "a bzip2 file"},
      {tar, "a tar archive"},
      {"\x89HDF\r\n\x1a\n0123456789", "an HDF5 file"},
      {"{\"error\": \"Repository not found\"}", "a JSON text"},
      {"", "an empty file"}};
  for (const auto& [content, kind] : kinds) {
    const std::string message = refusal(content);
    EXPECT_NE(message.find("w.pth"), std::string::npos) << message;
    EXPECT_NE(message.find("got " + kind), std::string::npos) << message;
  }
  EXPECT_NE(refusal("some notes that are no weights").find("no safetensors file"),
            std::string::npos);
}

// ---- the shipped tables of names ----------------------------------------------------------------

using Names = std::vector<std::string>;

/// Names of a reference's checkpoint, or none where the reference data are absent.
Names reference_names(const std::string& reference) {
  const char* shared = std::getenv("TESSERA_SHARED");
  std::ifstream stream(fs::path(shared ? shared : TESSERA_SHARED_DEFAULT) / "parity" / reference /
                       "keys.json");
  Names names;
  if (!stream) return names;
  const nlohmann::json keys = nlohmann::json::parse(stream);
  for (const auto& [name, shape] : keys.items()) names.push_back(name);
  return names;
}

Names with_prefix(const Names& names, const std::string& prefix, const std::string& instead) {
  Names result;
  for (const auto& name : names)
    if (name.starts_with(prefix)) result.push_back(instead + name.substr(prefix.size()));
  return result;
}

WeightsOptions shipped_rules(const std::string& name) {
  return read_weights_options(fs::path(TESSERA_SOURCE_DIR) / "experiments/base/weights" /
                              (name + ".toml"));
}

/// Sorted names that the rules make of a file's.
Names renamed(const Names& names, const WeightsOptions& options) {
  TensorList tensors;
  for (const auto& name : names) tensors.emplace_back(name, at::zeros({1}));
  const RenamedTensors result = apply_rules(tensors, options);
  EXPECT_EQ(result.clashing, Names());
  Names after;
  for (const auto& [name, tensor] : result.tensors) after.push_back(name);
  std::sort(after.begin(), after.end());
  return after;
}

TEST(ShippedNames, TurnResNetsIntoBackbones) {
  const Names vistr = reference_names("vistr/r50_padded");
  const Names detectron2 = reference_names("mask2former_vis/r50_forward");
  if (vistr.empty() || detectron2.empty()) GTEST_SKIP() << "reference data are absent";
  // torchvision's names are VisTR's without its prefix, and some more.
  Names torchvision = with_prefix(vistr, "vistr.backbone.0.body.", "");
  Names composed = with_prefix(vistr, "vistr.backbone.0.body.", "backbone.");
  std::sort(composed.begin(), composed.end());
  for (const char* more : {"fc.weight", "fc.bias", "bn1.num_batches_tracked",
                           "layer1.0.downsample.1.num_batches_tracked"})
    torchvision.emplace_back(more);
  EXPECT_EQ(renamed(torchvision, shipped_rules("torchvision_resnet")), composed);
  Names plain = with_prefix(detectron2, "backbone.", "");
  plain.emplace_back("stem.fc.weight");
  EXPECT_EQ(renamed(plain, shipped_rules("detectron2_resnet")), composed);
  EXPECT_EQ(renamed(with_prefix(detectron2, "backbone.", "backbone."),
                    shipped_rules("detectron2_resnet")),
            composed);
}

TEST(ShippedNames, TurnDetrIntoVistr) {
  const Names all = reference_names("vistr/r50_padded");
  if (all.empty()) GTEST_SKIP() << "reference data are absent";
  const WeightsOptions rules = shipped_rules("detr_coco_to_vistr");
  PatternList skip(rules.skip, "skip");
  Names taken;
  for (const auto& name : all)
    if (!skip.matches(name)) taken.push_back(name);
  std::sort(taken.begin(), taken.end());
  Names detr = with_prefix(all, "vistr.", "");
  EXPECT_EQ(renamed(detr, rules), taken);
  for (auto& name : detr) name = "detr." + name;
  detr.emplace_back("mask_head.lay1.weight");
  EXPECT_EQ(renamed(detr, rules), taken);
  EXPECT_EQ(renamed(all, rules), taken);  // as VisTR's authors name it
  EXPECT_GT(taken.size(), 300u);
}

TEST(ShippedNames, TakeMask2FormersModelZoo) {
  Names video = reference_names("mask2former_vis/r50_forward");
  const Names swin = reference_names("mask2former_vis/swin_t_forward");
  if (video.empty() || swin.empty()) GTEST_SKIP() << "reference data are absent";
  std::sort(video.begin(), video.end());
  Names zoo = video;
  zoo.emplace_back("criterion.empty_weight");
  EXPECT_EQ(renamed(zoo, shipped_rules("mask2former")), video);

  Names old;  // the names before the last change
  for (std::string name : zoo) {
    if (name.starts_with("sem_seg_head.pixel_decoder.")) name.erase(13, 14);
    if (const size_t at = name.find("query_feat"); at != std::string::npos)
      name.replace(at, 10, "static_query");
    old.push_back(name);
  }
  EXPECT_EQ(renamed(old, shipped_rules("mask2former")), video);

  const WeightsOptions rules = shipped_rules("swin");
  PatternList skip(rules.skip, "skip");
  Names taken, official{"norm.weight",
                        "norm.bias",
                        "head.weight",
                        "head.bias",
                        "layers.0.blocks.1.attn_mask",
                        "layers.0.blocks.0.attn.relative_position_index"};
  for (const auto& name : swin)
    if (!skip.matches(name)) taken.push_back(name);
  std::sort(taken.begin(), taken.end());
  for (const auto& name : with_prefix(taken, "backbone.", "")) official.push_back(name);
  EXPECT_EQ(renamed(official, rules), taken);
  EXPECT_GT(taken.size(), 150u);
}

}  // namespace
}  // namespace tessera
