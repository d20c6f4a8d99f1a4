#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tessera::data {

/// One of the files that a data set is split into.
struct SplitPart {
  std::string name;     // the file is `<output>/<name>.json`
  double fraction = 0;  // of the videos, above 0
};

struct SplitDataOptions {
  std::filesystem::path annotations;
  std::filesystem::path output;
  std::vector<SplitPart> parts;
  uint64_t seed = 1;
  bool overwrite = false;
};

struct SplitSummary {
  std::string name;
  std::filesystem::path file;
  int64_t videos = 0;
  int64_t annotations = 0;
  std::vector<int64_t> annotations_of;  // [category, in the file's order]
};

/// Splits a data set by video, so that each part has about its fraction of every category's objects
/// (iterative stratification: Sechidis, Tsoumakas and Vlahavas 2011). Videos that share a frame
/// stay together. Everything else of the file, unknown keys too, is copied as it is; the same seed
/// gives the same files. Throws ConfigError for parts that are wrong, DataError for a faulty file.
std::vector<SplitSummary> split_data_set(const SplitDataOptions& options);

}  // namespace tessera::data
