#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "launcher/distributed/world.h"
#include "launcher/evaluation/results_writer.h"
#include "launcher/inference/video_inference.h"

namespace tessera {

/// Tracks of all processes on their way into one file, in the order of the videos. The file gets
/// its name when all are in it: what is there under the name is whole.
class ResultCollector {
 public:
  /// Throws RuntimeError where the file cannot be written: not after hours of inference.
  ResultCollector(const World& world, const std::filesystem::path& file);

  /// in: the video's place in the set and its id; the data set's id of the track's category.
  void add(size_t video, int64_t video_id, const VideoTracks& tracks,
           const VideoTracks::Track& track, int64_t category_id);

  /// Waits for all processes. out: tracks of all of them, on the first one.
  int64_t finish();

 private:
  void write_gathered();

  const World& world_;
  std::optional<evaluation::ResultsWriter> writer_;
  std::string lines_;
  int64_t count_ = 0;
};

}  // namespace tessera
