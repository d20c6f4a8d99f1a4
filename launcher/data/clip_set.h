#pragma once

#include <cstdint>
#include <filesystem>
#include <opencv2/core.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/structures/random.h"
#include "launcher/data/augmenter.h"
#include "launcher/data/clip_sampler.h"
#include "launcher/data/data_options.h"
#include "launcher/data/ytvis.h"

namespace tessera::data {

/// How large clips get.
struct ClipExtent {
  int64_t frames = 0, height = 0, width = 0;  // pixels
  int64_t instances = 0;

  /// Grows to hold the other: by area, to the larger of the two; else to the larger of each side.
  void join(const ClipExtent& other, bool by_area);
  /// "36 frames of 300x540, 8 instances".
  std::string text() const;
};

/// One data set of `[data.train]`: an annotation file with its images. Immutable.
class ClipSet {
 public:
  /// Reads the annotations. `key` ("data.train.sets[0]") is for messages. Throws ConfigError where
  /// the set is not stated, DataError where the file is wrong.
  ClipSet(const DataOptions& options, const SetOptions& set, std::string key);

  /// Whether a class_map leads from the file's categories to the model's.
  bool is_mapped() const { return !set_.class_map.empty(); }
  /// Of single images, which become pseudo-clips; else of videos.
  bool is_images() const { return set_.kind == "coco"; }

  /// Gives each category its index among `model_ids` (ascending), chooses the samples and looks for
  /// their images. Call once, first. Throws ConfigError for ids that are not among them, DataError
  /// for missing images and where no sample is left.
  void prepare(const std::vector<int64_t>& model_ids);

  /// Samples in the set.
  int64_t size() const;
  /// Samples of an epoch: size times the set's ratio, rounded, at least 1.
  int64_t epoch_size() const;
  /// Which sample is the k-th of an epoch, k in 0..epoch_size-1. Where the ratio is no whole
  /// number, epochs go round through the set in an order of their own: all samples come equally
  /// often.
  int64_t sample_of(int64_t k, int64_t epoch) const;

  /// Whether a clip that `instances` are left in is trained. Otherwise another sample is drawn.
  bool takes_clip_with(int64_t instances) const;
  /// The numbers of instances that are taken, for messages: "1 to 25 instances".
  std::string wanted_instances() const;
  /// Any sample of the set, all equally likely.
  int64_t draw_sample(Random& random) const;

  /// A clip after `[data.augment]`.
  struct Clip {
    std::vector<cv::Mat> frames;              // [T] CV_8UC3 or CV_32FC3, RGB in 0..255, of one size
    std::vector<std::vector<cv::Mat>> masks;  // [N][T] CV_8UC1, 0 or 1; empty where absent
    std::vector<int64_t> labels;              // [N]
    std::vector<int64_t> frame_indices;       // [T] positions in the video
    const Video* video = nullptr;
  };
  /// `sampling` draws what the clip is, `augmenting` what becomes of it.
  /// Throws DataError naming file, video and frame where an image is broken or of another size.
  Clip load(int64_t sample, Random& sampling, Random& augmenting) const;

  /// The largest of the clips that come out of `[data.augment]`, as far as many draws for every
  /// size of video show; `by_area` as for ClipExtent::join. No image is read.
  ClipExtent largest_clip(bool by_area) const;

  /// Frames that a video needs so that no frame is twice in a clip. Of a set of videos.
  int64_t span() const { return sampler_->span(); }

  const AnnotationFile& annotations() const { return annotations_; }
  const std::string& key() const { return key_; }

 private:
  Clip load_frames(int64_t sample, Random& sampling, Random& augmenting) const;
  Clip load_pseudo_clip(int64_t sample, Random& sampling, Random& augmenting) const;
  std::filesystem::path image_file(size_t video, int64_t frame) const;
  void check_images() const;
  void choose_samples();
  std::vector<SampledVideo> sampled_videos() const;
  int64_t label_of(int64_t category_id, const std::vector<int64_t>& model_ids) const;

  DataOptions options_;
  Augmenter augmenter_;  // of videos, and of images that stay single
  Augmenter pseudo_clip_augmenter_;
  SetOptions set_;
  std::string key_;
  AnnotationFile annotations_;
  std::vector<std::optional<int64_t>> labels_;       // of each category; none: left out
  std::vector<std::vector<size_t>> annotations_of_;  // [video] those that are instances
  std::optional<ClipSampler> sampler_;               // of videos
  std::vector<size_t> images_;                       // of single images: those that are samples
  std::vector<int64_t> order_;                       // in which epochs go round; empty: as it is
};

/// The name of a video: the folder of its first frame, or "video <id>".
std::string video_name(const Video& video);

}  // namespace tessera::data
