#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// One thing that bounds how many threads of this process can run at the same time.
struct CpuLimit {
  std::string source;              // "affinity mask", ...
  std::optional<int64_t> threads;  // none: this source states no limit
  std::string detail;              // what it states, for a person
};

/// Processors of this machine, the affinity mask (taskset, cpusets, a launcher's binding), the CPU
/// quota of the control groups that hold the process (versions 1 and 2, all of their parents; a
/// part of a processor counts as a whole one), and OMP_NUM_THREADS, in this order. in: `root`, a
/// folder with proc/ and sys/ to read in place of the machine's. Throws ConfigError if
/// OMP_NUM_THREADS is not a positive number.
std::vector<CpuLimit> cpu_limits(const std::filesystem::path& root = "/");

/// The tightest of the limits; among equal ones the first. in: limits, at least one with a number.
const CpuLimit& tightest_limit(const std::vector<CpuLimit>& limits);

/// Threads that this process should compute with if it is alone: the tightest limit.
int64_t usable_threads();

/// The same for one of several processes of a machine: they share its processors, the quota, and
/// each processor that several of their affinity masks have. in: `masks`, those of all of them;
/// `own`, this process's, one of `masks`. out: at least 1.
int64_t usable_threads_beside(const std::vector<CpuLimit>& limits, const std::vector<int64_t>& own,
                              const std::vector<std::vector<int64_t>>& masks);

/// Processors in this process's affinity mask, ascending; empty if the system does not state it.
std::vector<int64_t> affinity_mask();

/// Keeps the affinity mask for the program that this process becomes by exec: with OMP_PROC_BIND
/// set, OpenMP narrows the mask of the first thread to one place as soon as it is loaded.
void keep_affinity_mask();

}  // namespace tessera
