#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// A control group (cgroup) of Linux that holds this process.
struct ControlGroup {
  std::filesystem::path folder;  // of its files
  bool is_version_2 = false;
};

/// The groups that can limit this process through a controller ("cpu", "memory"): its own and all
/// of their parents that are mounted here, innermost first; empty without control groups. in:
/// `root`, a folder with proc/ and sys/ to read in place of the machine's. See cgroups(7).
std::vector<ControlGroup> control_groups(const std::string& controller,
                                         const std::filesystem::path& root = "/");

/// Bytes that this process's control groups leave it beyond what they use now (file caches that can
/// be given up do not count as used); none if no group has a limit.
std::optional<int64_t> memory_left_by_groups(const std::filesystem::path& root = "/");

}  // namespace tessera
