#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/op_bench.h"
#include "core/error.h"
#include "launcher/commands/bench_json.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/data/clip_dataset.h"
#include "launcher/freed_memory.h"

namespace tessera::commands {
namespace {

struct BenchArguments {
  std::string json;
  std::string device = "cpu";
  int threads = 0;
  bench::OpBenchOptions options;
};

void run_ops(BenchArguments& arguments) {
  BenchJson json(arguments.json);
  if (arguments.threads > 0) at::set_num_threads(arguments.threads);
  arguments.options.device = at::Device(arguments.device);
  keep_freed_memory();  // as training and inference do
  at::manual_seed(1);
  const auto result = bench::bench_ops(arguments.options);
  json.write(result);
}

struct DataBenchArguments {
  ExperimentArguments experiment;
  int64_t clips = 20;
  std::string json;
};

/// On one thread, without the loader's: what a core prepares.
void run_data(const DataBenchArguments& arguments) {
  BenchJson json(arguments.json);
  Registry registry(Registry::default_search_paths());
  const Experiment experiment = arguments.experiment.load(registry);
  keep_freed_memory();
  at::set_num_threads(1);
  const data::ClipDataset dataset(experiment.data, experiment.data.train, "train");
  const auto load = [&](int64_t i) {
    return dataset.load(i % dataset.size(), /*seed=*/1, /*epoch=*/i / dataset.size());
  };
  load(0);  // files and memory are warm
  int64_t frames = 0;
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < arguments.clips; ++i) frames += load(i).frames.size(0);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const auto per_second = [&](int64_t count) {
    return static_cast<double>(count) / seconds.count();
  };
  std::cout << arguments.clips << " clips, " << frames << " frames: " << per_second(arguments.clips)
            << " clips/s, " << per_second(frames) << " frames/s on one thread\n";
  json.write({{"clips", arguments.clips},
              {"frames", frames},
              {"seconds", seconds.count()},
              {"clips_per_second", per_second(arguments.clips)}});
}

}  // namespace

void add_bench(CLI::App& app) {
  auto* bench = app.add_subcommand("bench", "Time Tessera against what it replaces");
  bench->require_subcommand(1);
  bench->footer("Example: tessera bench ops");
  auto* ops = bench->add_subcommand("ops", "The operators, against their usual formulations");
  ops->footer(
      "Medians of interleaved rounds: every round runs every contestant once, so that ratios hold "
      "on a\n"
      "busy machine, too.\nExample: tessera bench ops --threads 2 --json ops.json");
  const auto arguments = std::make_shared<BenchArguments>();
  ops->add_flag("--quick", arguments->options.quick, "Small cases and one round");
  ops->add_option("--rounds", arguments->options.rounds, "Rounds of each case")
      ->check(CLI::Range(1, 1000));
  ops->add_option("--only", arguments->options.only, "One operator")
      ->check(CLI::IsMember(
          {"st_deform_attn", "ms_deform_attn", "deform_conv2d", "dot_product_attention"}));
  ops->add_option("--threads", arguments->threads, "Threads (default: every core)")
      ->check(CLI::Range(1, 1024));
  ops->add_option("--device", arguments->device, "cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  ops->add_option("--json", arguments->json, "Write the figures to this file");
  ops->callback([arguments] { run_ops(*arguments); });

  add_bench_model(*bench);

  auto* clips = bench->add_subcommand("data", "Loading an experiment's training clips");
  clips->footer(
      "bench/python_loading.py times the same steps in Python in the same run.\n"
      "Example: tessera bench data experiments/vistr_r50.toml --clips 20");
  const auto of_data = std::make_shared<DataBenchArguments>();
  of_data->experiment.add_to(*clips);
  clips->add_option("--clips", of_data->clips, "Clips to load")->check(CLI::PositiveNumber);
  clips->add_option("--json", of_data->json, "Write the figures to this file");
  clips->callback([of_data] { run_data(*of_data); });
}

}  // namespace tessera::commands
