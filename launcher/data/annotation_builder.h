#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "launcher/data/json_reader.h"
#include "launcher/data/ytvis.h"

namespace tessera::data {

/// What one annotation says: nothing but its id where it belongs to no listed video or category.
struct ParsedAnnotation {
  int64_t id = 0;
  std::optional<Annotation> annotation;
};

/// Builds an AnnotationFile piece by piece while the parser runs: videos and categories first, then
/// the annotations, which refer to them. All throw DataError for the first fault; where faults are
/// collected (ReadOptions::faults), only for those that end the reading.
class AnnotationBuilder {
 public:
  AnnotationBuilder(const std::filesystem::path& file, const ReadOptions& options);

  /// The file's lists.
  void add_videos(const Json& list);
  void add_categories(const Json& list);
  /// One entry of the list.
  void add_annotation(const Json& value);
  /// The same for an annotation that was parsed before.
  void add_annotation(ParsedAnnotation parsed);
  /// Throws the first fault. Several may be parsed at the same time where faults are not collected.
  ParsedAnnotation parse(const Json& value);

  bool collects_faults() const { return options_.faults != nullptr; }
  bool has_videos() const { return has_videos_; }
  bool has_categories() const { return has_categories_; }
  bool ready() const { return has_videos_ && has_categories_; }
  /// How far it came: "after 3 videos and 7 annotations".
  std::string progress() const;

  /// The file states no annotations.
  void set_without_annotations() { result_.has_annotations = false; }
  AnnotationFile take() { return std::move(result_); }

 private:
  using IdIndex = std::unordered_map<int64_t, size_t>;

  /// Runs `body`. Where faults are collected, an item with one gives false instead of an exception.
  template <typename Place, typename Body>
  bool read_item(const Place& place, const Body& body);
  /// The same for one frame of an item: the item's other frames are still looked at.
  template <typename Body>
  void read_frame(size_t frame, const Body& body);
  /// A value for each frame of an annotation, nothing where it is null.
  template <typename Value, typename Read>
  std::vector<std::optional<Value>> read_frames(const Json& annotation, const char* key,
                                                size_t num_frames, const Read& read);
  Video read_video(const Json& value);
  std::vector<std::optional<Rle>> read_segmentations(const Json& annotation, const Video& video);
  /// Index of a listed id, or nothing in compatible mode and for items left out as faulty.
  std::optional<size_t> find_id(const IdIndex& known, const std::set<int64_t>& faulty, int64_t id,
                                const char* key, const char* list) const;
  std::string known_ids(std::string_view list) const;
  void register_id(int64_t id);
  void keep(std::optional<Annotation> annotation);

  ReadOptions options_;
  AnnotationFile result_;
  IdIndex video_index_;
  IdIndex category_index_;
  IdIndex annotation_index_;
  std::set<int64_t> faulty_videos_;
  std::set<int64_t> faulty_categories_;
  std::vector<std::string> frame_faults_;  // of the item being read
  size_t num_listed_videos_ = 0;
  size_t num_listed_categories_ = 0;
  size_t num_annotations_ = 0;
  bool has_videos_ = false;
  bool has_categories_ = false;
};

}  // namespace tessera::data
