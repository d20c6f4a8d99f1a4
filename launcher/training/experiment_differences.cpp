#include <array>
#include <map>
#include <set>
#include <string_view>

#include "core/config/toml_reader.h"
#include "launcher/flat_values.h"
#include "launcher/training/checkpoint.h"

namespace tessera {
namespace {

/// What may change when a run goes on: where it runs, how long, what it shows, what comes after.
constexpr auto kFreeKeys = std::to_array<std::string_view>(
    {"description",     "plugins",          "inference",       "weights",
     "train.epochs",    "train.iterations", "train.log_every", "train.evaluate_every",
     "train.keep_last", "train.threads",    "train.device",    "train.checkpoint_every",
     "train.patience",  "train.recompute",  "train.mask_rows", "train.memory",
     "data.workers",    "data.validation",  "data.categories", "train.distributed"});

bool is_free(const std::string& path) {
  for (const std::string_view key : kFreeKeys)
    if (path == key || path.starts_with(std::string(key) + ".")) return true;
  return false;
}

}  // namespace

std::vector<std::string> experiment_differences(const std::string& then, const std::string& now) {
  const auto before = flat_values(parse_toml(then, "the checkpoint's experiment"));
  const auto after = flat_values(parse_toml(now, "this experiment"));
  std::set<std::string> paths;
  for (const auto* values : {&before, &after})
    for (const auto& [path, value] : *values) paths.insert(path);
  std::vector<std::string> differences;
  for (const auto& path : paths) {
    auto shown = [&](const std::map<std::string, std::string>& values) {
      const auto found = values.find(path);
      return found == values.end() ? std::string("absent") : found->second;
    };
    if (!is_free(path) && shown(before) != shown(after))
      differences.push_back(path + ": " + shown(before) + " in the checkpoint, " + shown(after) +
                            " now");
  }
  return differences;
}

}  // namespace tessera
