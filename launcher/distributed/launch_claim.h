#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// What the program that started this process states about others that it started with it.
struct LaunchClaim {
  std::string statement;               // "SLURM_STEP_NUM_TASKS=4"
  std::vector<std::string> variables;  // all that state something, the innermost launcher's first
  int64_t tasks = 1;  // this one included; if only this one's place is stated: at least so many
  /// Whether MPI can find the others: a process manager left its address.
  bool is_mpi_reachable = false;
};

/// The innermost launcher's claim: Open MPI's mpirun, PMI (MPICH, Intel MPI, Slurm's pmi2),
/// MVAPICH, PMIx, a Slurm step, Flux, torchrun. Nothing if none states more than one task. An
/// allocation's SLURM_NTASKS says nothing about a process: a batch script is one task, whatever the
/// allocation. in: `get`, a variable's value, null if it is not set (std::getenv).
std::optional<LaunchClaim> find_launch_claim(const std::function<const char*(const char*)>& get);

}  // namespace tessera
