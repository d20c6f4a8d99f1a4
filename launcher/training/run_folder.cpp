#include "launcher/training/run_folder.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"
#include "launcher/weights/atomic_file.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-";
constexpr std::string_view kSuffix = ".safetensors";

[[noreturn]] void fail(const fs::path& path, const std::string& what,
                       const std::error_code& error) {
  throw RuntimeError(path.string() + ": expected " + what + ", got '" + error.message() +
                     "'. Check --output and its permissions.");
}

/// The iteration that a file name states, or -1 where it is no checkpoint's.
int64_t iteration_of(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return -1;
  const char* begin = name.data() + kPrefix.size();
  const char* end = name.data() + name.size() - kSuffix.size();
  int64_t iteration = -1;
  const auto [stop, error] = std::from_chars(begin, end, iteration);
  return error == std::errc() && stop == end ? iteration : -1;
}

}  // namespace

RunFolder::RunFolder(fs::path path, bool cleans) : path_(std::move(path)) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) fail(path_, "a run folder that can be made", error);
  if (!cleans) return;
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(path_, error))
    if (is_temporary_name(entry.path().filename().string())) leftovers.push_back(entry.path());
  if (error) fail(path_, "a run folder that can be read", error);
  for (const auto& leftover : leftovers)
    if (!fs::remove(leftover, error) && error) fail(leftover, "to remove a leftover file", error);
}

fs::path RunFolder::checkpoint(int64_t iteration) const {
  return path_ / (std::string(kPrefix) + std::to_string(iteration) + std::string(kSuffix));
}

void RunFolder::write_resolved(const std::string& toml) const {
  write_file(resolved(), toml);
}

std::vector<std::pair<int64_t, fs::path>> RunFolder::checkpoints() const {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error))
    if (const int64_t iteration = iteration_of(entry.path().filename().string()); iteration >= 0)
      found.emplace_back(iteration, entry.path());
  if (error) fail(path_, "a run folder that can be read", error);
  std::sort(found.begin(), found.end());
  return found;
}

void RunFolder::keep_checkpoints(int64_t count) const {
  const auto found = checkpoints();
  for (size_t i = 0; i + static_cast<size_t>(count) < found.size(); ++i) {
    std::error_code error;
    if (!fs::remove(found[i].second, error) && error)
      fail(found[i].second, "to remove an old checkpoint", error);
  }
}

void RunFolder::put_aside(const fs::path& checkpoint) const {
  std::error_code error;
  fs::rename(checkpoint, checkpoint.string() + ".damaged", error);
  if (error) fail(checkpoint, "to rename a damaged checkpoint", error);
}

void RunFolder::expect_no_checkpoint_after(int64_t iteration) const {
  const auto found = checkpoints();
  if (found.empty() || found.back().first <= iteration) return;
  throw ConfigError(path_.string() + ": expected no checkpoint after iteration " +
                    std::to_string(iteration) + ", where this run begins, got '" +
                    found.back().second.filename().string() +
                    "'. Go on from it with --resume auto, or take another --output.");
}

}  // namespace tessera
