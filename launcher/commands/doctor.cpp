#include <ATen/Context.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <sys/sysinfo.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <opencv2/core/version.hpp>

#include "core/error.h"
#include "core/plugin/abi.h"
#include "core/plugin/registry.h"
#include "launcher/commands/commands.h"
#include "launcher/cpu_limits.h"
#include "launcher/data/codecs.h"
#include "launcher/peak_memory.h"
#include "launcher/run_main.h"

namespace tessera::commands {
namespace {

/// One thing that was looked at.
struct Finding {
  std::string name;
  std::string found;
  std::string problem;  // what to do about it; empty where all is well
  nlohmann::ordered_json numbers = nlohmann::ordered_json::object();  // for --json
};

constexpr double kGiB = 1 << 30;
constexpr double kTightMemory = 4, kTightDisk = 2;  // GiB

std::string in_gib(double bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f GiB", bytes / kGiB);
  return text;
}

/// How many threads a single process takes, and why.
Finding look_at_threads() {
  const std::vector<CpuLimit> limits = cpu_limits();
  const CpuLimit& tightest = tightest_limit(limits);
  std::vector<std::string> details;
  for (const CpuLimit& limit : limits) details.push_back(limit.source + ": " + limit.detail);
  return {"threads",
          std::to_string(*tightest.threads) + ", by " + tightest.source + " (" +
              join(details, "; ") + ")",
          "",
          {{"threads", *tightest.threads}, {"source", tightest.source}}};
}

Finding look_at_memory() {
  struct sysinfo info {};
  if (sysinfo(&info) != 0) return {"memory", "unknown", "The system does not tell."};
  const double total = static_cast<double>(info.totalram) * info.mem_unit;
  const auto reachable = static_cast<double>(reachable_memory());
  return {"memory",
          in_gib(total) + ", of which this process can have " + in_gib(reachable) +
              " (others' memory and limits of control groups left out)",
          std::min(total, reachable) < kTightMemory * kGiB
              ? "Training at the papers' sizes needs more."
              : ""};
}

Finding look_at_disk(const std::string& name, const std::filesystem::path& folder) {
  std::error_code error;
  const auto space = std::filesystem::space(folder, error);
  if (error) return {name, folder.string() + ": " + error.message(), "Name a folder that exists."};
  const auto free = static_cast<double>(space.available);
  return {name, in_gib(free) + " free in " + folder.string(),
          free < kTightDisk * kGiB ? "Checkpoints of a full model take hundreds of MB each." : ""};
}

Finding look_at_videos() {
  return {"OpenCV", std::string(CV_VERSION) + ", video files by " + data::codecs().video_library(),
          ""};
}

Finding look_at_gpus() {
  if (!at::hasCUDA()) return {"CUDA", "no device, or a LibTorch or build without CUDA", ""};
  std::string found = std::to_string(at::detail::getCUDAHooks().deviceCount()) + " device(s)";
  return {"CUDA", found, ""};
}

std::vector<Finding> look_at_plugins() {
  Registry registry(Registry::default_search_paths());
  std::vector<BrokenPlugin> broken;
  const auto plugins = registry.scan(broken);
  const char* more = std::getenv("TESSERA_PLUGIN_PATH");
  std::vector<Finding> findings = {
      {"plugins",
       std::to_string(plugins.size()) + ", TESSERA_PLUGIN_PATH " +
           (more == nullptr ? "not set" : more),
       plugins.empty() ? "Is the installation whole? lib/tessera/plugins belongs to it." : ""}};
  for (const BrokenPlugin& plugin : broken)
    findings.push_back({"plugin", plugin.file.string(), plugin.reason});
  return findings;
}

std::vector<Finding> look_around() {
  std::vector<Finding> findings = {
      {"Tessera", TESSERA_VERSION, ""},
      {"plugin ABI", TESSERA_ABI_STAMP, ""},
      {"LibTorch", TORCH_VERSION, ""},
      {"CPU", at::get_cpu_capability(), ""},
      look_at_threads(),
      look_at_memory(),
      look_at_disk("work folder", std::filesystem::current_path()),
      look_at_disk("temporary files", std::filesystem::temp_directory_path()),
      look_at_gpus(),
#ifdef TESSERA_HAS_MPI
      {"MPI", "built in: mpirun -np N tessera train", ""},
#else
      {"MPI", "not built in: one process only", ""},
#endif
      look_at_videos()};
  for (Finding& finding : look_at_plugins()) findings.push_back(std::move(finding));
  return findings;
}

int doctor(bool json) {
  const std::vector<Finding> findings = look_around();
  bool all_well = true;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    all_well = all_well && finding.problem.empty();
    nlohmann::ordered_json entry{
        {"name", finding.name}, {"found", finding.found}, {"problem", finding.problem}};
    entry.update(finding.numbers);
    list.push_back(std::move(entry));
    if (json) continue;
    std::printf("%-8s %-16s %s\n", finding.problem.empty() ? "ok" : "PROBLEM", finding.name.c_str(),
                finding.found.c_str());
    if (!finding.problem.empty()) std::printf("%25s %s\n", "", finding.problem.c_str());
  }
  std::fflush(stdout);
  if (json) std::cout << list.dump(2) << "\n";
  return all_well ? kOk : kFailed;
}

}  // namespace

void add_doctor(CLI::App& app) {
  auto* command = app.add_subcommand("doctor", "Say what this machine and installation can do");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print as JSON");
  command->footer("Example: tessera doctor\nExit code 1 where there is a problem.");
  command->callback([json] {
    if (const int code = doctor(*json); code != kOk) throw CLI::RuntimeError(code);
  });
}

}  // namespace tessera::commands
