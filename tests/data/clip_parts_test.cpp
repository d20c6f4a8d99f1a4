// A step and a sampler that plugins bring, used from an experiment's text through the loader.

#include "core/config/toml_reader.h"
#include "core/plugin/registry.h"
#include "launcher/contract/contract_checks.h"
#include "launcher/data/clip_dataset.h"
#include "launcher/data/synth.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::message_of;

class ClipPartsTest : public test_support::DataTest {
 protected:
  void SetUp() override {
    DataTest::SetUp();
    write_synth({.output = folder_, .videos = 2, .frames = 5, .height = 40, .width = 60});
  }

  ClipDataset open(const std::string& text) {
    registry_.add_search_path(TESSERA_BINARY_DIR "/fixtures/clip_parts");
    DataOptions options;
    ReadContext context(&registry_);
    const std::string file = "num_frames = 3\nnum_categories = 5\n[train]\nannotations = '" +
                             (folder_ / "annotations.json").string() + "'\nimages = '" +
                             (folder_ / "frames").string() + "'\n" + text;
    schema_of<DataOptions>().read(&options, parse_toml(file, "parts.toml"), "data", context);
    context.throw_if_failed();
    return {options, options.train, "train"};
  }

  Registry registry_{Registry::default_search_paths()};
};

TEST_F(ClipPartsTest, AStepOfAPluginMovesFramesMasksAndBoxes) {
  const ClipSample before = open("").load(3, 1, 0);
  const ClipSample after =
      open("[[augment.steps]]\nkind = 'quarter_turn'\ndirection = 'right'").load(3, 1, 0);
  ASSERT_GT(before.targets.num_instances(), 0);
  EXPECT_EQ(after.frames.sizes(), (std::vector<int64_t>{3, 3, 60, 40}));
  EXPECT_TRUE(at::allclose(after.frames, before.frames.rot90(-1, {2, 3}), 1e-5, 1e-5));
  EXPECT_TRUE(at::equal(after.targets.masks, before.targets.masks.rot90(-1, {2, 3})));
  // cx cy w h: a turn to the right takes (x, y) to (1 - y, x).
  const at::Tensor box = before.targets.boxes;
  const at::Tensor turned =
      at::stack({1 - box.select(2, 1), box.select(2, 0), box.select(2, 3), box.select(2, 2)}, 2);
  const at::Tensor valid = before.targets.valid.unsqueeze(2);
  EXPECT_TRUE(at::allclose(after.targets.boxes, turned * valid, 0, 1e-5));
  EXPECT_EQ(after.meta.height, 60);
}

TEST_F(ClipPartsTest, StepsBeforeAndAfterAChangeOfTheClipAreDone) {
  const std::string flip = "[[augment.steps]]\nkind = 'flip'\n";
  const std::string turn = "[[augment.steps]]\nkind = 'quarter_turn'\n";
  const ClipSample before = open("").load(3, 1, 0);
  const ClipSample after = open(flip + turn + flip + "[augment]\nshort_side = 20").load(3, 1, 0);
  EXPECT_EQ(after.frames.sizes(), (std::vector<int64_t>{3, 3, 30, 20}));
  const at::Tensor unscaled = open(flip + turn + flip).load(3, 1, 0).targets.masks;
  EXPECT_TRUE(at::equal(unscaled, before.targets.masks.flip(3).rot90(1, {2, 3}).flip(3)));
  EXPECT_TRUE(open(turn).largest_clip(1).text().starts_with("3 frames of 60x40,"));
}

TEST_F(ClipPartsTest, ASamplerOfAPluginSeesWhichInstancesAreThere) {
  const ClipDataset dataset = open("[sampling]\nkind = 'with_instance'");
  ASSERT_GT(dataset.size(), 0);
  for (int64_t sample = 0; sample < dataset.size(); ++sample) {
    const ClipSample clip = dataset.load(sample, 1, 0);
    const int64_t frame = clip.meta.frame_indices.front();
    EXPECT_EQ(clip.meta.frame_indices, std::vector<int64_t>(3, frame));
    EXPECT_GT(clip.targets.num_instances(), 0);
  }
}

TEST_F(ClipPartsTest, FaultsOfPluginsAreNamed) {
  expect_parts(message_of<ConfigError>(
                   [&] { open("[[augment.steps]]\nkind = 'quarter_turn'\ndirection = 'up'"); }),
               {"parts.toml:8", "data.augment.steps[0].direction", "one of", "up"});
  expect_parts(message_of<ConfigError>(
                   [&] { open("[[augment.steps]]\nkind = 'flip'\ndirection = 'right'"); }),
               {"data.augment.steps[0].direction", "\"flip\"", "\"quarter_turn\""});
  const ClipDataset dataset = open("[sampling]\nkind = 'with_instance'\nbeyond = 9");
  expect_parts(message_of<PluginError>([&] { dataset.load(0, 1, 0); }),
               {"data.sampling", "with_instance", "3 frames of 0 to 4", "got "});
}

TEST_F(ClipPartsTest, KeepTheContractOrAreToldWhatTheyBreak) {
  registry_.add_search_path(TESSERA_BINARY_DIR "/fixtures/clip_parts");
  for (const auto& [kind, name] :
       {std::pair<std::string, std::string>{"augmentation", "quarter_turn"},
        {"sampler", "with_instance"}})
    for (const auto& result : contract::check_plugin(registry_.find(kind, name), registry_))
      EXPECT_TRUE(result.passed) << name << ", " << result.name << ": " << result.problem;
}

}  // namespace
}  // namespace tessera::data
