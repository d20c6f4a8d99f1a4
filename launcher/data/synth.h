#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace tessera::data {

struct SynthOptions {
  std::filesystem::path output;
  int64_t videos = 8;
  int64_t frames = 12;   // of each video
  int64_t height = 128;  // pixels
  int64_t width = 160;
  uint64_t seed = 1;
  int64_t max_instances = 4;
  std::string format = "jpg";    // or "png": pixel-exact
  std::string layout = "ytvis";  // or "davis": folders of index PNGs
  bool overwrite = false;
};

struct SynthSummary {
  int64_t videos = 0;
  int64_t frames = 0;
  int64_t instances = 0;
};

/// Writes a generated data set: `annotations.json` in YouTube-VIS layout and
/// `frames/<video>/<00000>.<format>`, or with the layout "davis" the files of write_index_masks and
/// `JPEGImages/<video>/<00000>.<format>`. The same options give the same files.
/// Throws ConfigError for options out of range or where the folder has annotations already (unless
/// `overwrite`), RuntimeError where a file cannot be written.
SynthSummary write_synth(const SynthOptions& options);

}  // namespace tessera::data
