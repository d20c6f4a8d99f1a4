#include "launcher/weights/rule_tables.h"

#include <algorithm>

#include "core/error.h"

namespace tessera {

namespace fs = std::filesystem;

std::vector<RuleTable> rule_tables_near(const fs::path& experiment) {
  constexpr int kMostLevels = 4;
  fs::path folder = experiment.has_parent_path() ? experiment.parent_path() : fs::path(".");
  for (int level = 0; level < kMostLevels; ++level, folder /= "..") {
    for (const char* place : {"base/weights", "experiments/base/weights"}) {
      std::error_code error;
      std::vector<fs::path> files;
      for (const auto& entry : fs::directory_iterator(folder / place, error))
        if (entry.path().extension() == ".toml") files.push_back(entry.path());
      if (files.empty()) continue;
      std::sort(files.begin(), files.end());
      std::vector<RuleTable> tables;
      for (const fs::path& file : files) {
        try {
          tables.push_back({file.lexically_normal().string(), read_weights_options(file)});
        } catch (const ConfigError&) {
          continue;  // somebody's file that is no table of names
        }
      }
      return tables;
    }
  }
  return {};
}

}  // namespace tessera
