#include "launcher/distributed/launch_line.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "core/error.h"

namespace tessera {
namespace {

// How long mpirun waits before it sends its ranks SIGTERM, and again before SIGKILL, when it was
// itself told to end or when a rank has failed. Its own default of one second leaves no time for a
// checkpoint; but a job that failed lasts that much longer, twice, even if no rank is left.
constexpr const char* kSecondsToStop = "15";

std::vector<std::string> mpirun_line(const LaunchRequest& request,
                                     const std::vector<std::string>& environment) {
  std::vector<std::string> line{
      "mpirun", "--host", request.hosts, "-np", std::to_string(count_ranks(request.hosts)),
      // Threads of a rank would share the one core it is bound to.
      "--bind-to", "none", "--mca", "odls_base_sigkill_timeout", kSecondsToStop};
  for (const std::string& name : environment) {
    line.push_back("-x");
    line.push_back(name);
  }
  return line;
}

std::vector<std::string> srun_line(const LaunchRequest& request) {
  // Slurm passes the environment on by itself. One rank that fails must end all.
  std::vector<std::string> line{"srun", "--mpi=pmix", "--kill-on-bad-exit=1"};
  if (request.nodes > 0) line.push_back("--nodes=" + std::to_string(request.nodes));
  if (request.ranks_per_node > 0) {
    line.push_back("--ntasks-per-node=" + std::to_string(request.ranks_per_node));
    if (request.nodes > 0)
      line.push_back("--ntasks=" + std::to_string(request.nodes * request.ranks_per_node));
  }
  return line;
}

}  // namespace

int64_t count_ranks(const std::string& hosts) {
  int64_t total = 0;
  std::istringstream stream(hosts);
  for (std::string host; std::getline(stream, host, ',');) {
    const size_t colon = host.find(':');
    int64_t slots = 1;
    bool good = colon != 0 && !host.empty();
    if (colon != std::string::npos) {
      const char* end = host.data() + host.size();
      const auto [stop, error] = std::from_chars(host.data() + colon + 1, end, slots);
      good = good && error == std::errc() && stop == end && slots > 0;
    }
    if (!good)
      throw ConfigError(
          "--hosts: expected machines and their numbers of ranks like a:8,b:8, got '" + hosts +
          "'.");
    total += slots;
  }
  if (total == 0) throw ConfigError("--hosts: expected at least one machine, got none.");
  return total;
}

const std::vector<std::string>& variables_that_matter() {
  static const std::vector<std::string> names{"PATH",
                                              "LD_LIBRARY_PATH",
                                              "OMP_NUM_THREADS",
                                              "TESSERA_PLUGIN_PATH",
                                              "TORCH_ROOT",
                                              "NCCL_DEBUG",
                                              "NCCL_IB_HCA",
                                              "NCCL_SOCKET_IFNAME",
                                              "NCCL_P2P_LEVEL",
                                              "CUBLAS_WORKSPACE_CONFIG"};
  return names;
}

std::vector<std::string> launch_line(const LaunchRequest& request,
                                     const std::vector<std::string>& environment) {
  if (request.slurm == !request.hosts.empty())
    throw ConfigError(std::string("launch: expected one of --hosts and --slurm, got ") +
                      (request.slurm ? "both." : "neither."));
  std::vector<std::string> line =
      request.slurm ? srun_line(request) : mpirun_line(request, environment);
  line.push_back(request.program);
  line.insert(line.end(), request.arguments.begin(), request.arguments.end());
  return line;
}

std::string shell_text(const std::vector<std::string>& line) {
  std::string text;
  for (const std::string& word : line) {
    if (!text.empty()) text += ' ';
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_-+=:,./@%") == std::string::npos;
    if (plain) {
      text += word;
      continue;
    }
    text += '\'';
    for (const char letter : word)
      text += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    text += '\'';
  }
  return text;
}

}  // namespace tessera
