#include "launcher/distributed/launch_claim.h"

#include <array>
#include <charconv>
#include <string_view>

namespace tessera {
namespace {

/// A launcher's two variables.
struct Launcher {
  const char* size;     // tasks; null: the launcher does not state them
  const char* rank;     // this task's place, from 0
  const char* marker;   // must be set, too; null: none
  bool size_is_enough;  // without the rank: no one but the launcher sets it
  bool brings_manager;  // a process manager, through which MPI finds the others
};

// The innermost launcher first: mpirun starts its ranks inside a Slurm step or a pod.
constexpr std::array<Launcher, 9> kLaunchers = {{
    {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", nullptr, true, true},
    {"MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", nullptr, true, true},
    {"PMI_SIZE", "PMI_RANK", nullptr, true, true},
    {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", nullptr, true, false},
    {"SLURM_NTASKS", "SLURM_PROCID", "SLURM_STEP_ID", false, false},
    {nullptr, "SLURM_PROCID", nullptr, false, false},
    {"FLUX_JOB_SIZE", "FLUX_TASK_RANK", nullptr, false, false},
    {nullptr, "PMIX_RANK", nullptr, false, true},
    // torchrun. Scripts for PyTorch often export WORLD_SIZE for the whole job, RANK less often.
    {"WORLD_SIZE", "RANK", nullptr, false, false},
}};

// Any of these is how an MPI library reaches the process manager of a launcher.
constexpr std::array<const char*, 6> kManagers = {
    "PMIX_RANK", "PMIX_NAMESPACE", "PMI_RANK", "PMI_FD", "PMI_PORT", "PMI_CONTROL_PORT"};

std::optional<int64_t> whole_number(const char* text) {
  if (text == nullptr) return std::nullopt;
  const std::string_view view(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  if (error != std::errc() || end != view.data() + view.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<LaunchClaim> find_launch_claim(const std::function<const char*(const char*)>& get) {
  bool has_manager = false;
  for (const char* name : kManagers) has_manager = has_manager || get(name) != nullptr;
  std::optional<LaunchClaim> claim;
  for (const Launcher& launcher : kLaunchers) {
    if (launcher.marker != nullptr && get(launcher.marker) == nullptr) continue;
    const std::optional<int64_t> rank = whole_number(get(launcher.rank));
    const std::optional<int64_t> size =
        launcher.size != nullptr ? whole_number(get(launcher.size)) : std::nullopt;
    if (!rank && !(size && launcher.size_is_enough)) continue;
    if (launcher.size != nullptr ? !size.has_value() : *rank == 0) continue;
    const int64_t tasks = size ? *size : *rank + 1;
    const std::string name = launcher.size != nullptr ? launcher.size : launcher.rank;
    if (claim) {
      claim->variables.push_back(name);
      continue;
    }
    if (tasks <= 1) return std::nullopt;  // the innermost launcher started this process alone
    claim = LaunchClaim{
        name + "=" + get(name.c_str()), {name}, tasks, launcher.brings_manager || has_manager};
  }
  return claim;
}

}  // namespace tessera
