#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/data/mapped_file.h"
#include "launcher/data/rle.h"

namespace tessera::evaluation {

/// results.json as it lies on the disk: where each mask is, none of them decoded. Gigabytes of
/// results so take megabytes.
class ResultIndex {
 public:
  struct Entry {
    int64_t video_id = 0;
    int64_t category_id = 0;
    double score = 0;
  };

  /// in: results.json or a zip archive that holds it. out: nothing where the file holds anything
  /// unusual, right or wrong: then read_results() reads it, or says what is wrong.
  /// Throws DataError for a broken archive.
  static std::optional<ResultIndex> read(const std::filesystem::path& file, size_t num_threads);

  const std::vector<Entry>& entries() const { return entries_; }
  /// The masks of an entry. Throws DataError for a mask that is not valid.
  std::vector<std::optional<data::Rle>> masks(size_t entry) const;

 private:
  struct StoredMask {
    std::string_view counts;  // as written, without quotes; empty: no mask
    int64_t height = 0;
    int64_t width = 0;
  };
  struct StoredTrack {
    Entry entry;
    std::string_view text;
    std::vector<StoredMask> masks;
  };

  explicit ResultIndex(std::unique_ptr<data::MappedFile> file) : file_(std::move(file)) {}
  static bool read_track(std::string_view text, size_t readable_after, StoredTrack& track);

  std::unique_ptr<data::MappedFile> file_;
  std::vector<Entry> entries_;
  std::vector<StoredTrack> tracks_;
};

}  // namespace tessera::evaluation
