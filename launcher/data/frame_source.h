#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "launcher/data/image_rules.h"

namespace tessera::data {

/// Where the frames of one video come from. Safe to read from several threads.
class FrameSource {
 public:
  virtual ~FrameSource() = default;
  /// in: index 0..length-1; rising order is fastest. out: [H,W,3] uint8 RGB.
  /// Throws DataError naming file and frame where it cannot be read or has another size.
  virtual at::Tensor read(int64_t index) = 0;
};

/// One video to run a model on.
struct InferenceVideo {
  int64_t id = 0;
  std::string name;
  int64_t height = 0, width = 0;  // pixels
  int64_t length = 0;             // frames
  std::shared_ptr<FrameSource> source;

  at::Tensor read(int64_t index) const { return source->read(index); }
};

struct InputOptions {
  /// The folder that an annotation file's file_names start at; empty: `frames` or `JPEGImages`
  /// beside the file or one folder up.
  std::filesystem::path images = {};
  ImageRules rules = {};
  /// Go on with the frames that can be decoded where a video file is cut off or damaged.
  bool allow_broken_video = false;
};

/// Opens what a user points at: a `.json` file in YouTube-VIS layout (its videos with their ids;
/// annotations are not needed), a folder of frames (one video, in natural order of the names), a
/// folder of such folders (one video each; see frame_folder_of), or a video file.
/// out: `warnings`, if it is given: what the user should know of the input, a line each.
/// Throws DataError where there is nothing to read, or frames beside folders of frames.
std::vector<InferenceVideo> open_videos(const std::filesystem::path& input,
                                        const InputOptions& options = {},
                                        std::vector<std::string>* warnings = nullptr);

}  // namespace tessera::data
