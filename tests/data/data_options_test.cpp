#include "launcher/data/data_options.h"

#include "core/config/toml_reader.h"
#include "tests/data/fixture.h"

namespace tessera {
namespace {

using test_support::expect_parts;
using test_support::message_of;

class DataOptionsTest : public testing::Test {
 protected:
  DataOptions parse(const std::string& text) const {
    const ConfigNode node = parse_toml(text, "options.toml");
    ReadContext context;
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
  EXPECT_EQ(options.augment.steps[1].max_side, 800);
  EXPECT_EQ(options.augment.steps[3].smallest, 384);
  EXPECT_EQ(options.augment.short_side, 300);
}

TEST_F(DataOptionsTest, NeedsOnlyTheTwoCounts) {
  const DataOptions options = parse("num_frames = 2\nnum_categories = 5\naugment.short_side = 64");
  EXPECT_TRUE(options.augment.steps.empty());
  EXPECT_EQ(options.augment.short_side, 64);
  EXPECT_EQ(options.sampling.kind, "window_ending_at");
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
  expect_parts(with_step("kind = \"resize\""), {"short_sides", "none"});
  expect_parts(with_step("kind = \"flipp\""), {"one of", "flipp"});
  expect_parts(with_step("probability = 0.5"), {"kind"});
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
