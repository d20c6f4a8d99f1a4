#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <opencv2/core.hpp>
#include <variant>
#include <vector>

#include "core/interfaces/augmentation.h"
#include "launcher/data/resizing.h"

namespace tessera::data {

/// Operations on a clip that go frame by frame: every one is known before the first image is read,
/// so that images can be decoded no larger than they are needed, frames can go through one by one,
/// and masks can be looked up where their pixels end.
///
/// antialiased: every operation is done as it is added, on whole levels, as the authors' codes do.
/// fast: of resizes in a row only the last one is done, and a crop of a resized frame that is
/// resized again is taken from the frame itself.
class ClipTransform {
 public:
  /// Nothing is changed yet. in: `size` of the frames.
  ClipTransform(cv::Size size, size_t num_frames, const Resizing& resizing = {});

  // The operations of ClipPlan.
  void flip(bool vertical);
  void reverse_time() { is_reversed_ = !is_reversed_; }
  void resize(int64_t short_side, int64_t max_side);
  void crop(const cv::Rect& region);
  void shuffle_channels(const std::array<int, 3>& order);
  void change_colours(std::vector<ColourChange> changes);
  void change_frames(std::function<void(at::Tensor, int64_t)> change);

  /// Of the transformed frames.
  cv::Size size() const { return geometry_.size; }

  /// Where frame t of the input comes in the result.
  size_t place(size_t t) const { return is_reversed_ ? num_frames_ - 1 - t : t; }

  /// How many times smaller than stated (1, 2, 4 or 8) images may be decoded: such that no resize
  /// has to enlarge them again. 1 if antialiased, which needs every pixel.
  int reduction() const { return geometry_.reduction; }

  /// What is seen of the input, in pixels of the stated size; multiples of reduction(), or the end
  /// of the image.
  cv::Rect region() const { return geometry_.region; }

  /// in: frame t, RGB in 0..255, CV_8UC3 or (not antialiased) CV_32FC3, of the stated size or
  /// reduced. out: the same of size(). CV_8UC3 if antialiased, otherwise only if no step made other
  /// levels.
  cv::Mat frame(const cv::Mat& frame, size_t t) const;

  /// For each row (column) of the result, the one of the input whose mask it shows. Ascending, or
  /// descending after a flip.
  const std::vector<int>& rows() const { return geometry_.rows; }
  const std::vector<int>& columns() const { return geometry_.columns; }

 private:
  struct Geometry {
    cv::Size size;
    cv::Rect region;  // of the input: crops before the first resize
    std::vector<int> rows;
    std::vector<int> columns;
    int reduction = 1;
    bool reduction_is_known = false;
  };
  struct Flip {
    bool vertical;
  };
  struct Resize {
    cv::Size size;
  };
  struct Crop {
    cv::Rect region;
  };
  struct ShuffleChannels {
    std::array<int, 3> order;
  };
  struct ChangeColours {
    std::vector<ColourChange> changes;  // one, or one for each frame of the input
  };
  struct ChangeFrames {
    std::function<void(at::Tensor, int64_t)> change;
    bool is_reversed;  // the clip, when the operation was added
  };
  using Step = std::variant<Flip, Resize, Crop, ShuffleChannels, ChangeColours, ChangeFrames>;

  void undo_resize_that_is_not_seen();
  void undo_resize_and_crop();
  void align_region(cv::Size to);
  cv::Mat with_changed_frame(const cv::Mat& frame, const cv::Mat& input, const ChangeFrames& step,
                             size_t t) const;

  Resizing resizing_;
  std::vector<Step> steps_;  // after the region is taken
  cv::Size stated_size_;
  size_t num_frames_;
  bool is_reversed_ = false;
  Geometry geometry_;
  Geometry before_resize_;  // where the last step is a resize
};

}  // namespace tessera::data
