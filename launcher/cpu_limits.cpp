#include "launcher/cpu_limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "core/error.h"
#include "launcher/control_groups.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAffinity = "affinity mask";
constexpr const char* kOpenMp = "OMP_NUM_THREADS";
constexpr const char* kKeptMask = "TESSERA_KEPT_AFFINITY_MASK";

/// Processors that a group may use at the same time, none if it states no limit.
std::optional<double> quota_of(const fs::path& folder, bool is_version_2) {
  double quota = -1, period = 0;
  if (is_version_2) {
    std::ifstream file(folder / "cpu.max");  // "max 100000" or "150000 100000"
    file >> quota >> period;
    if (!file) return std::nullopt;
  } else {
    std::ifstream quota_file(folder / "cpu.cfs_quota_us"),
        period_file(folder / "cpu.cfs_period_us");
    quota_file >> quota;
    period_file >> period;
    if (!quota_file || !period_file) return std::nullopt;
  }
  if (quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

CpuLimit quota_limit(const fs::path& root) {
  std::optional<double> least;
  std::string group;
  for (const auto& [folder, is_version_2] : control_groups("cpu", root)) {
    const auto quota = quota_of(folder, is_version_2);
    if (!quota || (least && *least <= *quota)) continue;
    least = quota;
    group = folder.string();
  }
  if (!least) return {"cgroup quota", std::nullopt, "no limit"};
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", *least);
  return {"cgroup quota", std::max<int64_t>(1, std::llround(std::ceil(*least))),
          std::string(text) + " in " + group};
}

CpuLimit openmp_limit() {
  const char* value = std::getenv(kOpenMp);
  if (value == nullptr || *value == '\0') return {kOpenMp, std::nullopt, "not set"};
  // "4,2": the first number is that of the outermost parallel regions.
  std::string text = value;
  text = text.substr(0, text.find(','));
  text.erase(0, text.find_first_not_of(" \t"));
  text.erase(text.find_last_not_of(" \t") + 1);
  int64_t threads = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (error != std::errc() || end != text.data() + text.size() || threads < 1)
    throw ConfigError(
        std::string("OMP_NUM_THREADS: expected a number of threads, 1 or more, got '") + value +
        "'. Correct or unset it.");
  return {kOpenMp, threads, value};
}

std::vector<int64_t> current_mask() {
  // The kernel's mask may be larger than the fixed cpu_set_t.
  for (int processors = CPU_SETSIZE; processors <= 1 << 20; processors *= 2) {
    cpu_set_t* const set = CPU_ALLOC(processors);
    const size_t size = CPU_ALLOC_SIZE(processors);
    const bool known = set != nullptr && sched_getaffinity(0, size, set) == 0;
    std::vector<int64_t> mask;
    for (int i = 0; known && i < processors; ++i)
      if (CPU_ISSET_S(static_cast<size_t>(i), size, set)) mask.push_back(i);
    CPU_FREE(set);
    if (known) return mask;
  }
  return {};
}

/// What keep_affinity_mask() kept: exec leaves the process its number.
std::optional<std::vector<int64_t>> kept_mask() {
  const char* text = std::getenv(kKeptMask);
  if (text == nullptr) return std::nullopt;
  std::istringstream stream(text);
  int64_t process = 0;
  if (!(stream >> process) || process != ::getpid()) return std::nullopt;
  std::vector<int64_t> mask;
  for (int64_t processor = 0; stream >> processor;) mask.push_back(processor);
  return mask;
}

}  // namespace

std::vector<int64_t> affinity_mask() {
  if (auto kept = kept_mask()) return *kept;
  return current_mask();
}

void keep_affinity_mask() {
  std::string text = std::to_string(::getpid());
  for (const int64_t processor : current_mask()) text += ' ' + std::to_string(processor);
  setenv(kKeptMask, text.c_str(), /*overwrite=*/1);
}

std::vector<CpuLimit> cpu_limits(const fs::path& root) {
  const auto online = static_cast<int64_t>(sysconf(_SC_NPROCESSORS_ONLN));
  std::vector<CpuLimit> limits{
      {"processors", std::max<int64_t>(1, online), std::to_string(online) + " online"}};
  const auto mask = static_cast<int64_t>(affinity_mask().size());
  if (mask > 0)
    limits.push_back({kAffinity, mask, std::to_string(mask) + " processor(s)"});
  else
    limits.push_back({kAffinity, std::nullopt, "unknown"});
  limits.push_back(quota_limit(root));
  limits.push_back(openmp_limit());
  return limits;
}

const CpuLimit& tightest_limit(const std::vector<CpuLimit>& limits) {
  return *std::min_element(limits.begin(), limits.end(), [](const CpuLimit& a, const CpuLimit& b) {
    return a.threads && (!b.threads || *a.threads < *b.threads);
  });
}

int64_t usable_threads() {
  return *tightest_limit(cpu_limits()).threads;
}

int64_t usable_threads_beside(const std::vector<CpuLimit>& limits, const std::vector<int64_t>& own,
                              const std::vector<std::vector<int64_t>>& masks) {
  std::map<int64_t, int64_t> users;  // of each processor
  for (const auto& mask : masks)
    for (const int64_t processor : mask) ++users[processor];
  double share = 0;
  for (const int64_t processor : own) share += 1.0 / static_cast<double>(users[processor]);
  std::vector<CpuLimit> shared = limits;
  for (CpuLimit& limit : shared) {
    if (!limit.threads || limit.source == kOpenMp) continue;
    if (limit.source == kAffinity)
      limit.threads = static_cast<int64_t>(share + 1e-9);  // 3 thirds are a whole processor
    else
      *limit.threads /= std::max<int64_t>(1, static_cast<int64_t>(masks.size()));
  }
  return std::max<int64_t>(1, *tightest_limit(shared).threads);
}

}  // namespace tessera
