#include "launcher/control_groups.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// A mounted hierarchy of control groups.
struct Hierarchy {
  bool is_version_2 = false;
  fs::path mount_point;  // where its files are
  fs::path mounted;      // which of its groups is mounted there
  fs::path group;        // of this process
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The hierarchies that can have a controller: version 1's of that controller, and version 2's.
/// See proc(5) for mountinfo and cgroups(7) for /proc/self/cgroup.
std::vector<Hierarchy> hierarchies_of(const std::string& controller, const fs::path& root) {
  std::vector<Hierarchy> found;
  std::ifstream mounts(root / "proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    const auto before = split(line.substr(0, separator), ' ');
    const auto after = split(line.substr(separator + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const bool is_version_2 = after[0] == "cgroup2";
    if (!is_version_2 && (after[0] != "cgroup" || !holds(split(after[2], ','), controller)))
      continue;
    found.push_back({is_version_2, root / fs::path(before[4]).relative_path(), before[3], {}});
  }
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    for (Hierarchy& hierarchy : found)
      if (hierarchy.is_version_2 ? controllers.empty() : holds(split(controllers, ','), controller))
        hierarchy.group = line.substr(second + 1);
  }
  std::erase_if(found, [](const Hierarchy& hierarchy) { return hierarchy.group.empty(); });
  return found;
}

/// A file with one number; none for "max" and for a file that is not there.
std::optional<int64_t> number_in(const fs::path& file) {
  std::ifstream stream(file);
  int64_t number = 0;
  if (!(stream >> number)) return std::nullopt;
  return number;
}

/// Bytes of file caches that the kernel takes back first, from memory.stat.
int64_t inactive_file_bytes(const ControlGroup& group) {
  std::ifstream stream(group.folder / "memory.stat");
  const std::string wanted = group.is_version_2 ? "inactive_file" : "total_inactive_file";
  std::string key;
  for (int64_t bytes = 0; stream >> key >> bytes;)
    if (key == wanted) return bytes;
  return 0;
}

}  // namespace

std::vector<ControlGroup> control_groups(const std::string& controller, const fs::path& root) {
  std::vector<ControlGroup> groups;
  for (const Hierarchy& hierarchy : hierarchies_of(controller, root)) {
    // In a container without a name space of its own the group's path is the host's, of which only
    // the part below the mounted group is there.
    fs::path below = hierarchy.group.lexically_relative(hierarchy.mounted);
    if (below.empty() || *below.begin() == "..") below = ".";
    fs::path folder = (hierarchy.mount_point / below).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    const fs::path top = (hierarchy.mount_point / "").lexically_normal().parent_path();
    for (;; folder = folder.parent_path()) {
      groups.push_back({folder, hierarchy.is_version_2});
      if (folder == top || !folder.has_relative_path()) break;
    }
  }
  return groups;
}

std::optional<int64_t> memory_left_by_groups(const fs::path& root) {
  std::optional<int64_t> least;
  for (const ControlGroup& group : control_groups("memory", root)) {
    const auto limit =
        number_in(group.folder / (group.is_version_2 ? "memory.max" : "memory.limit_in_bytes"));
    const auto usage =
        number_in(group.folder / (group.is_version_2 ? "memory.current" : "memory.usage_in_bytes"));
    if (!limit || !usage) continue;
    const int64_t left = std::max<int64_t>(0, *limit - *usage + inactive_file_bytes(group));
    least = least ? std::min(*least, left) : left;
  }
  return least;
}

}  // namespace tessera
