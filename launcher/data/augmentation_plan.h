#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "core/interfaces/augmentation.h"
#include "launcher/data/clip_images.h"
#include "launcher/data/clip_transform.h"

namespace tessera::data {

/// What the steps of `[data.augment]` do to one clip: operations that go frame by frame, and
/// between them the changes of whole clips, of which most plans have none.
class AugmentationPlan final : public ClipPlan {
 public:
  AugmentationPlan(cv::Size size, size_t num_frames, const Resizing& resizing);

  /// Names the step that adds the operations from here on, for errors.
  void set_step(const std::string& name) { step_ = name; }

  int64_t height() const override { return size().height; }
  int64_t width() const override { return size().width; }
  int64_t num_frames() const override { return static_cast<int64_t>(num_frames_); }
  void flip() override { transforms_.back().flip(/*vertical=*/false); }
  void flip_vertical() override { transforms_.back().flip(/*vertical=*/true); }
  void reverse_time() override { transforms_.back().reverse_time(); }
  void resize(int64_t short_side, int64_t max_side = 0) override;
  void crop(int64_t x, int64_t y, int64_t width, int64_t height) override;
  void shuffle_channels(const std::array<int, 3>& order) override;
  void change_colours(std::vector<ColourChange> changes) override;
  void change_frames(std::function<void(at::Tensor frame, int64_t t)> change) override;
  void change_clip(int64_t height, int64_t width,
                   std::function<ClipPixels(ClipPixels clip)> change) override;

  /// Of the frames that come out.
  cv::Size size() const { return transforms_.back().size(); }
  /// What can be done while the clip is read.
  const ClipTransform& first() const { return transforms_.front(); }
  /// Does the rest to a clip that went through first().
  void finish(ClipImages& clip) const;
  /// Puts a whole clip through all of it. Frames and masks go through the same geometry; an empty
  /// mask stays empty.
  void apply(ClipImages& clip) const;

 private:
  struct ClipChange {
    std::string step;
    cv::Size size;
    std::function<ClipPixels(ClipPixels)> change;
  };
  [[noreturn]] void refuse(const std::string& operation, const std::string& expected) const;
  void change_whole(ClipImages& clip, const ClipChange& change) const;

  Resizing resizing_;
  size_t num_frames_;
  std::string step_;
  std::vector<ClipTransform> transforms_;  // one more than changes_, which are done between them
  std::vector<ClipChange> changes_;
};

}  // namespace tessera::data
