#include "launcher/data/data_options.h"

#include "core/config/toml_reader.h"
#include "core/plugin/registry.h"
#include "tests/data/fixture.h"

namespace tessera {
namespace {

using test_support::expect_parts;
using test_support::message_of;

class DataOptionsTest : public testing::Test {
 protected:
  DataOptions parse(const std::string& text) const {
    const ConfigNode node = parse_toml(text, "options.toml");
    Registry registry(Registry::default_search_paths());
    ReadContext context(&registry);
    DataOptions options;
    schema_of<DataOptions>().read(&options, node, "data", context);
    context.throw_if_failed();
    return options;
  }
};

TEST_F(DataOptionsTest, ReadsTheVistrRecipe) {
  const DataOptions options = parse(R"(
num_frames = 36
num_categories = 40
[augment]
short_side = 300
max_side = 540
[[augment.steps]]
kind = "flip"
probability = 0.5
[[augment.steps]]
kind = "resize"
short_sides = [480, 512, 544]
max_side = 800
[[augment.steps]]
kind = "photometric"
[[augment.steps]]
kind = "crop"
short_sides = [400, 500, 600]
smallest = 384
largest = 600
)");
  EXPECT_EQ(options.num_frames, 36);
  ASSERT_EQ(options.augment.steps.size(), 4U);
  EXPECT_EQ(options.augment.steps[0].probability, 0.5);
  const auto option = [&](size_t i, const std::string& key) {
    const AugmentStepOptions& step = options.augment.steps[i];
    return to_toml_value(*step.descriptor->schema().write(step.options.get()).find(key));
  };
  EXPECT_EQ(option(1, "max_side"), "800");
  EXPECT_EQ(option(3, "smallest"), "384");
  EXPECT_EQ(options.augment.short_side, 300);
}

TEST_F(DataOptionsTest, NeedsOnlyTheTwoCounts) {
  const DataOptions options = parse("num_frames = 2\nnum_categories = 5\naugment.short_side = 64");
  EXPECT_TRUE(options.augment.steps.empty());
  EXPECT_EQ(options.augment.short_side, 64);
  EXPECT_EQ(options.sampling.name, "window_ending_at");
  EXPECT_NE(options.sampling.descriptor, nullptr);
  expect_parts(message_of<ConfigError>([&] { parse("workers = 1"); }),
               {"data.num_frames", "data.num_categories"});
}

TEST_F(DataOptionsTest, WrittenOptionsReadBackTheSame) {
  const DataOptions options = parse(
      "num_frames = 2\nnum_categories = 5\naugment.steps = [{kind = \"crop\", smallest = 3, "
      "largest = 4, probability = 0.25}]");
  const ConfigNode written = schema_of<DataOptions>().write(&options);
  const DataOptions again = parse(to_toml(written));
  EXPECT_EQ(to_toml(schema_of<DataOptions>().write(&again)), to_toml(written));
}

TEST_F(DataOptionsTest, RefusesKeysOfAnotherKindOfStep) {
  const auto with_step = [&](const std::string& step) {
    return message_of<ConfigError>(
        [&] { parse("num_frames = 2\nnum_categories = 5\naugment.steps = [{" + step + "}]"); });
  };
  expect_parts(with_step("kind = \"flip\", smallest = 3"), {"smallest", "crop", "flip"});
  expect_parts(with_step("kind = \"crop\", per_frame = true, smallest = 3, largest = 4"),
               {"per_frame", "photometric"});
  expect_parts(with_step("kind = \"crop\", smallest = 4, largest = 3"), {"smallest", "rising"});
  expect_parts(with_step("kind = \"crop\", smallest = 4"), {"largest", "none"});
  expect_parts(with_step("kind = \"crop\", smallest = 4, largest = 5, max_side = 9"),
               {"max_side", "short_sides"});
  expect_parts(with_step("kind = \"resize\""), {"short_sides", "none"});
  expect_parts(with_step("probability = 0.5"), {"kind"});
  expect_parts(with_step("kind = \"photometric\", per_fram = true"),
               {"options.toml:3:", "data.augment.steps[0].per_fram", "Did you mean 'per_frame'"});
  expect_parts(with_step("kind = \"flip\", short_sides = [3]"),
               {"short_sides", "kind = \"crop\" or \"resize\"", "Remove it"});
  expect_parts(with_step("kind = 3"), {"data.augment.steps[0].kind", "expected a string"});
  expect_parts(message_of<PluginError>([&] {
                 parse("num_frames = 2\nnum_categories = 5\naugment.steps = [{kind = \"flipp\"}]");
               }),
               {"options.toml:3:", "data.augment.steps[0].kind", "'flipp'", "'flip'"});
}

TEST_F(DataOptionsTest, RefusesKeysOfAnotherSampler) {
  const auto with_sampling = [&](const std::string& text) {
    return message_of<ConfigError>(
        [&] { parse("num_frames = 2\nnum_categories = 5\nsampling = {" + text + "}"); });
  };
  expect_parts(with_sampling("reach = 5"),
               {"data.sampling.reach", "\"around_frame\" or \"near_and_far\"",
                "kind = \"window_ending_at\""});
  expect_parts(with_sampling("kind = \"uniform_window\", every = 2"), {"every", "near_and_far"});
  expect_parts(with_sampling("kind = \"uniform_window\", stride = 0"), {"stride", ">= 1"});
  expect_parts(with_sampling("strid = 2"), {"strid", "Did you mean 'stride'"});
}

/// Version 0.1 wrote the options of all samplers and steps into resolved.toml.
TEST_F(DataOptionsTest, ReadsWhatVersion01Wrote) {
  const DataOptions options = parse(R"(
num_frames = 2
num_categories = 5
[sampling]
kind = "uniform_window"
stride = 2
every = 1
reach = 20
redraw_empty = false
[[augment.steps]]
kind = "flip"
probability = 0.5
short_sides = []
[[augment.steps]]
kind = "photometric"
probability = 1.0
short_sides = []
per_frame = true
)");
  EXPECT_EQ(options.sampling.name, "uniform_window");
  EXPECT_EQ(options.augment.steps.size(), 2u);
}

/// A file that names another sampler than its base does not inherit the options of the base's.
TEST_F(DataOptionsTest, AnotherKindLeavesTheOptionsOfTheBaseBehind) {
  const std::string counts = "num_frames = 2\nnum_categories = 5\n";
  ConfigNode base = parse_toml(
      counts + "sampling = {kind = \"near_and_far\", reach = 3, redraw_empty = true}", "base.toml");
  const auto read = [](const ConfigNode& node) {
    Registry registry(Registry::default_search_paths());
    ReadContext context(&registry);
    DataOptions options;
    schema_of<DataOptions>().read(&options, node, "data", context);
    context.throw_if_failed();
    return options;
  };
  merge_config(base, parse_toml("sampling.kind = \"whole_video\"", "top.toml"));
  const DataOptions options = read(base);
  EXPECT_EQ(options.sampling.name, "whole_video");
  EXPECT_TRUE(options.sampling.redraw_empty) << "of every sampler, so it is inherited";
  merge_config(base, parse_toml("sampling.reach = 4", "top.toml"));
  expect_parts(message_of<ConfigError>([&] { read(base); }), {"top.toml", "reach", "whole_video"});
}

TEST_F(DataOptionsTest, RefusesImpossibleNumbers) {
  const std::string counts = "num_frames = 2\nnum_categories = 5\n";
  expect_parts(message_of<ConfigError>([&] { parse(counts + "normalise.mean = [0.5]"); }),
               {"mean", "three numbers", "1"});
  expect_parts(message_of<ConfigError>([&] { parse(counts + "normalise.deviation = [1, 1, 0]"); }),
               {"deviation", "> 0"});
  expect_parts(message_of<ConfigError>([&] { parse(counts + "augment.max_side = 9"); }),
               {"max_side", "short_side"});
}

}  // namespace
}  // namespace tessera
