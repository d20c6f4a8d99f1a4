#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "launcher/data/image_rules.h"

namespace tessera::data {

struct CheckOptions {
  std::filesystem::path annotations;
  std::filesystem::path images;  // empty: images are not looked at
  bool decode = false;           // decode every image instead of reading what it states
  ImageRules rules = {};
};

struct CheckReport {
  int64_t videos = 0;  // without those that are faulty
  int64_t frames = 0;
  int64_t annotations = 0;
  std::vector<std::string> faults;    // nothing that reads the file would accept it
  std::vector<std::string> warnings;  // allowed, but seldom meant
};

/// Looks for everything that is wrong with a data set in YouTube-VIS layout, one line for each
/// fault: file, video, annotation, frame, what was expected and found.
CheckReport check_data_set(const CheckOptions& options);

}  // namespace tessera::data
