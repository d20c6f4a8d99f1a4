#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/op_bench.h"
#include "core/error.h"
#include "launcher/commands/commands.h"
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
  // A file that cannot be written is said before minutes of work, not after.
  std::ofstream file;
  if (!arguments.json.empty()) {
    file.open(arguments.json);
    if (!file) {
      throw RuntimeError("--json: expected a file that can be written, got '" + arguments.json +
                         "'.");
    }
  }
  if (arguments.threads > 0) at::set_num_threads(arguments.threads);
  arguments.options.device = at::Device(arguments.device);
  keep_freed_memory();  // as training and inference do
  at::manual_seed(1);
  const auto result = bench::bench_ops(arguments.options);
  if (file.is_open()) {
    file << result.dump(1) << '\n';
    if (!file.flush()) {
      throw RuntimeError("--json: expected room for '" + arguments.json + "', got a failed write.");
    }
  }
}

}  // namespace

void add_bench(CLI::App& app) {
  auto* bench = app.add_subcommand("bench", "Time Tessera against what it replaces");
  bench->require_subcommand(1);
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
      ->check(CLI::IsMember({"st_deform_attn", "ms_deform_attn", "deform_conv2d"}));
  ops->add_option("--threads", arguments->threads, "Threads (default: every core)")
      ->check(CLI::Range(1, 1024));
  ops->add_option("--device", arguments->device, "cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  ops->add_option("--json", arguments->json, "Write the figures to this file");
  ops->callback([arguments] { run_ops(*arguments); });
}

}  // namespace tessera::commands
