#include "launcher/training/train_options.h"

#include <gtest/gtest.h>

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "launcher/training/checkpoint.h"
#include "launcher/weights/weights_options.h"
#include "tests/support/read_options.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

using test_support::expect_error;

template <class Options>
Options read(const std::string& toml) {
  return test_support::read_options<Options>(toml);
}

TEST(TrainOptions, ReadsARecipe) {
  const auto options = read<TrainOptions>(R"(
    epochs = 18
    total_batch = 8
    accumulation = 2
    clip_gradients = 0.1
    frozen = ["^backbone\\.stem"]
    frozen_parts = ["encoder", "segmenter"]
    optimiser = { kind = "adam", lr = 1e-3 }
    schedule = { kind = "multi_step", drops = [12, 16.5] }
    groups = [
      { pattern = "^backbone", lr_factor = 0.1 },
      { pattern = "norm", weight_decay = 0, optional = true },
    ]
  )");
  EXPECT_EQ(options.epochs, 18);
  EXPECT_FALSE(options.iterations.has_value());
  EXPECT_EQ(options.frozen_parts, (std::vector<std::string>{"encoder", "segmenter"}));
  EXPECT_EQ(options.frozen_mode, "eval");
  EXPECT_EQ(options.optimiser.kind.name(), "adam");
  EXPECT_EQ(options.groups[0].lr_factor, 0.1);
  EXPECT_EQ(options.groups[1].weight_decay, 0.0);
  EXPECT_TRUE(options.groups[1].optional);
  EXPECT_EQ(options.schedule.kind->drops(), (std::vector<double>{12, 16.5}));
}

TEST(TrainOptions, WritesWhatItReads) {
  const auto options =
      read<TrainOptions>("iterations = 5\ngroups = [{ pattern = \"a\", lr = 2.0 }]");
  const ConfigNode written = schema_of<TrainOptions>().write(&options);
  const auto again = read<TrainOptions>(to_toml(written));
  EXPECT_TRUE(schema_of<TrainOptions>().write(&again) == written);
}

TEST(TrainOptions, ReadsARecipeOfTwoPhases) {
  const auto options = read<TrainOptions>(R"(
    iterations = 100
    evaluate_every = 10
    patience = 3
    ema = { decay = 0.99, after = 5 }
    schedule = { kind = "polynomial", power = 0.9, warmup_iterations = 10 }
    [schedules.encoder]
    kind = "polynomial"
    wait_iterations = 10
    warmup_iterations = 20
    [[groups]]
    pattern = 'blocks\.(\d+)\.'
    layer_decay = 0.6
    num_layers = 24
    schedule = "encoder"
  )");
  EXPECT_EQ(options.patience, 3);
  EXPECT_EQ(options.ema->after, 5);
  ASSERT_EQ(options.schedules.size(), 1u);
  EXPECT_EQ(options.schedules[0].first, "encoder");
  EXPECT_EQ(options.schedules[0].second.wait_iterations, 10);
  EXPECT_EQ(options.groups[0].schedule, "encoder");
  const ConfigNode written = schema_of<TrainOptions>().write(&options);
  const auto again = read<TrainOptions>(to_toml(written));
  EXPECT_TRUE(schema_of<TrainOptions>().write(&again) == written) << to_toml(written);
}

// Version 0.1 wrote the options of all kinds, and so do runs of it that go on.
TEST(TrainOptions, ReadsWhatVersion01Wrote) {
  const auto options = read<TrainOptions>(R"(
    iterations = 5
    [optimiser]
    kind = "sgd"
    lr = 0.1
    betas = [0.9, 0.999]
    eps = 1e-08
    rectify = true
    momentum = 0.5
    weight_decay = 0.0
    [schedule]
    kind = "cosine"
    drops = []
    factor = 0.1
    warmup_iterations = 0
    warmup_factor = 0.001
    minimum_factor = 0.25
  )");
  const std::string written = to_toml(schema_of<TrainOptions>().write(&options));
  EXPECT_NE(written.find("momentum = 0.5"), std::string::npos) << written;
  EXPECT_NE(written.find("minimum_factor = 0.25"), std::string::npos) << written;
  for (const char* gone : {"betas", "rectify", "drops"})
    EXPECT_EQ(written.find(gone), std::string::npos) << written;
}

TEST(TrainOptions, WantsExactlyOneLength) {
  expect_error<ConfigError>([] { read<TrainOptions>("seed = 1"); },
                            {"epochs and iterations", "neither"});
  expect_error<ConfigError>([] { read<TrainOptions>("epochs = 1\niterations = 1"); },
                            {"epochs and iterations", "both"});
}

TEST(TrainOptions, RefusesWhatCannotBe) {
  auto refuse = [](const std::string& line, std::initializer_list<const char*> parts) {
    expect_error<ConfigError>([&] { read<TrainOptions>("epochs = 1\n" + line); }, parts);
  };
  refuse("total_batch = 6\naccumulation = 4", {"divisor", "6", "4"});
  refuse("frozen = [\"a(\"]", {"frozen", "a("});
  refuse("frozen_mode = \"half\"", {"frozen_mode", "eval", "train"});
  refuse("groups = [{ pattern = \"a\", lr = 1.0, lr_factor = 1.0 }]", {"lr_factor and lr"});
  refuse("groups = [{ pattern = \"[\" }]", {"pattern"});
  refuse("groups = [{ lr = 1.0 }]", {"pattern", "got none"});
  refuse("optimiser = { kind = \"adamx\" }", {"adamw"});
  refuse("optimiser = { betas = [0.9] }", {"betas"});
  refuse("optimiser = { betas = [0.9, 1.0] }", {"betas"});
  refuse("schedule = { kind = \"multi_step\" }", {"drops"});
  refuse("schedule = { kind = \"multi_step\", drops = [2, 1] }", {"rising"});
  refuse("schedule = { drops = [2] }", {"drops", "constant"});
  refuse("optimiser = { kind = \"sgd\", betas = [0.8, 0.9] }",
         {"section.optimiser.betas", "kind = \"sgd\"", "\"adamw\" or \"adam\" or \"adabelief\""});
  refuse("optimiser = { kind = \"adamw\", momentum = 0.5 }", {"momentum", "\"sgd\""});
  refuse("optimiser = { kind = \"sgd\", beta = 1.0 }", {"known key", "beta"});
  refuse("schedule = { kind = \"cosine\", power = 2.0 }", {"power", "\"polynomial\""});
  refuse("schedule = { kind = \"cosin\" }", {"kind", "cosine"});
  refuse("schedule = { kind = 3 }", {"kind", "an integer (3)"});
  refuse("patience = 3", {"patience", "evaluate_every"});
  refuse("patience = 0\nevaluate_every = 1", {"patience", ">= 1"});
  refuse("ema = { decay = 1.0 }", {"ema", "decay", "below 1"});
  refuse("groups = [{ pattern = \"a\", schedule = \"slow\" }]", {"groups[0].schedule", "'slow'"});
  refuse("groups = [{ pattern = \"a\", schedule = \"slw\" }]\nschedules.slow.kind = \"constant\"",
         {"groups[0].schedule", "(slow)", "'slw'"});
  refuse("groups = [{ pattern = \"a\", layer_decay = 0.5 }]", {"layer_decay and num_layers"});
  refuse("groups = [{ pattern = \"a\", layer_decay = 0.5, num_layers = 2 }]",
         {"pattern", "parentheses"});
  refuse("groups = [{ pattern = \"a\", layer_decay = 0.5, num_layers = 2, layer = 2 }]",
         {"layer", "below num_layers = 2"});
  refuse("groups = [{ pattern = \"a\", layer = 2 }]", {"layer", "layer_decay"});
  refuse("precision = \"float64\"\nautocast = \"bfloat16\"", {"autocast", "float64", "bfloat16"});
  refuse("precision = \"double\"", {"precision", "float64"});
  refuse("log_evry = 2", {"log_evry", "log_every"});
}

TEST(WeightsOptions, ReadsRules) {
  const auto options = read<WeightsOptions>(
      "init = \"w\"\nrename = [{ from = \"^a\", to = \"b\" }]\nskip = [\"class\"]");
  EXPECT_EQ(options.init, "w");
  EXPECT_EQ(options.rename[0].to, "b");
  expect_error<ConfigError>([] { read<WeightsOptions>("ignore = [\"*\"]"); }, {"ignore"});
  expect_error<ConfigError>([] { read<WeightsOptions>("rename = [{ from = \"(\", to = \"\" }]"); },
                            {"from"});
}

TEST(ExperimentDifferences, NameWhatAContinuedRunMustNotChange) {
  const std::string then = "[train]\niterations = 5\nseed = 1\n[model]\nwidth = 3\n";
  const std::string now = "[train]\niterations = 9\nseed = 1\n[model]\nwidth = 4\ndepth = 2\n";
  EXPECT_EQ(experiment_differences(then, then), std::vector<std::string>{});
  EXPECT_EQ(experiment_differences(then, now),
            (std::vector<std::string>{"model.depth: absent in the checkpoint, 2 now",
                                      "model.width: 3 in the checkpoint, 4 now"}));
}

}  // namespace
}  // namespace tessera
