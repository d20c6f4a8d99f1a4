#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "launcher/evaluation/results.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::evaluation {

/// A track as results.json holds it. Throws DataError as ResultsWriter::append does.
std::string result_json(const ResultTrack& track);

/// Writes results.json track by track as an AtomicFile: the target is either the whole new file or
/// what was there before.
/// All failures (folder missing or not writable, disk full) are RuntimeErrors.
class ResultsWriter {
 public:
  /// Opens the file, so that a bad path fails before hours of inference.
  explicit ResultsWriter(const std::filesystem::path& file);

  /// Throws DataError if the score is not finite or a mask is not valid: `read_results` would
  /// refuse the file.
  void append(const ResultTrack& track);
  /// The same mask by mask: a track of a long video need not be in memory. `track` needs no masks.
  void append(const ResultTrack& track, size_t num_frames,
              const std::function<std::optional<data::Rle>(size_t frame)>& mask_of_frame);
  /// The same of what result_json gave, perhaps in another process.
  void append_json(const std::string& track);

  /// Writes the rest to disk and moves the file to its place. Nothing can be appended afterwards.
  void finish();

 private:
  void expect_unfinished() const;
  void begin_track();
  void flush();

  std::filesystem::path file_;
  std::optional<AtomicFile> out_;  // none once finished
  std::string buffer_;
  size_t num_tracks_ = 0;
  bool is_broken_ = false;  // a track's masks ended with an error
};

}  // namespace tessera::evaluation
