#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "launcher/data/ytvis.h"

namespace tessera::data {

/// Puts an annotation file together from masks of single frames.
class TrackBuilder {
 public:
  /// in: categories, names in the order of their ids from 1. Where none are given, those that occur
  /// are numbered in alphabetical order.
  explicit TrackBuilder(std::vector<std::string> categories);

  /// in: file_names in order of time. out: the video's place, for add_mask.
  size_t add_video(int64_t width, int64_t height, std::vector<std::string> file_names);

  /// in: object, what tells the objects of a video apart; mask of the video's size (one without a
  /// pixel counts as absent); crowd, a region that is no instance.
  /// Throws DataError for a second mask of an object in a frame, an object that changes its
  /// category or an unknown category.
  void add_mask(size_t video, const std::string& object, const std::string& category, int64_t frame,
                Rle mask, bool crowd = false);
  /// The same, but a second mask of an object in a frame is joined with the first. out: whether it
  /// was.
  bool add_part(size_t video, const std::string& object, const std::string& category, int64_t frame,
                Rle mask, bool crowd = false);

  const Video& video(size_t index) const { return videos_.at(index); }

  /// Everything added, objects in the order of (video, object).
  /// Throws DataError where there is no video or no category.
  AnnotationFile take();

 private:
  struct Track {
    std::string category;
    bool crowd = false;
    std::vector<std::optional<Rle>> masks;  // [T]
  };

  /// The object's place in a frame.
  std::optional<Rle>& place_of(size_t video, const std::string& object, const std::string& category,
                               int64_t frame, const Rle& mask, bool crowd);

  std::vector<std::string> categories_;
  bool fixed_categories_;
  std::vector<Video> videos_;
  std::vector<std::map<std::string, Track>> tracks_;  // [video]
};

}  // namespace tessera::data
