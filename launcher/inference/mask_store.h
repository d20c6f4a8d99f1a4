#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "launcher/data/rle.h"

namespace tessera {

/// The masks of a video's tracks on disk, so that long videos take no more memory than short ones.
/// Two nameless files, which go with the process however it ends.
class MaskStore {
 public:
  /// in: folder with room for the masks; frames of the video. Throws RuntimeError where the folder
  /// cannot be written.
  MaskStore(const std::filesystem::path& folder, int64_t num_frames);
  ~MaskStore();
  MaskStore(const MaskStore&) = delete;
  MaskStore& operator=(const MaskStore&) = delete;

  /// Throws RuntimeError on a full disk.
  void put(int64_t track, int64_t frame, const data::Rle& mask);
  /// Nothing where nothing was put.
  std::optional<data::Rle> get(int64_t track, int64_t frame) const;
  /// Takes a track's masks out again; the room on disk is not given back before the store goes.
  void forget(int64_t track);
  /// Whether anything was put for the track.
  bool has(int64_t track) const;

 private:
  struct Entry {
    uint64_t end = 0;  // of the counts in the data, so 0 = nothing was put
    uint32_t size = 0, height = 0, width = 0, reserved = 0;
  };
  Entry entry(int64_t track, int64_t frame) const;

  std::filesystem::path folder_;
  int64_t num_frames_;
  int index_ = -1;  // an Entry for each track and frame; holes take no room
  int data_ = -1;   // compressed counts
  uint64_t data_size_ = 0;
};

}  // namespace tessera
