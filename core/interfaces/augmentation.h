#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/interfaces/part.h"
#include "core/structures/random.h"

namespace tessera {

/// A photometric distortion, the same for every pixel (Liu et al. 2016, SSD, section 2.2 and their
/// code). The defaults change nothing.
struct ColourChange {
  double brightness = 0;       // added, levels of 0..255
  double contrast = 1;         // factor
  bool contrast_first = true;  // before saturation and hue, or after them
  double saturation = 1;       // factor
  double hue = 0;              // added, degrees
  std::array<int, 3> channels{0, 1, 2};
  bool wrap_overflow = false;  // levels beyond 0..255 wrap round; otherwise they are clipped
};

/// A clip as a step that changes whole clips sees it.
struct ClipPixels {
  at::Tensor frames;  // [T,H,W,3] float32, RGB in 0..255
  at::Tensor masks;   // [N,T,H,W] bool; an instance without a pixel is absent from the frame
};

/// What the steps of `[data.augment]` do to one clip. A step reads the clip's size and adds
/// operations; they are done in this order, after all steps have drawn their numbers. Until then no
/// image is read: images can be decoded no larger than they are needed, and masks are looked up
/// only where their pixels end.
///
/// Boxes are not moved: they are computed from the masks at the end. A plan belongs to one thread.
class TESSERA_API ClipPlan {
 public:
  virtual ~ClipPlan();

  /// Size of the frames after the operations added so far, pixels.
  virtual int64_t height() const = 0;
  virtual int64_t width() const = 0;
  /// Frames of the clip (T).
  virtual int64_t num_frames() const = 0;

  /// Left to right.
  virtual void flip() = 0;
  /// Top to bottom.
  virtual void flip_vertical() = 0;
  /// Last frame first.
  virtual void reverse_time() = 0;
  /// Scales the frames to that shorter side, or less if the longer side would exceed `max_side`
  /// (0: no limit), by the rules of `data.resize` and `data.resize_rounding`. Pixels.
  virtual void resize(int64_t short_side, int64_t max_side = 0) = 0;
  /// Keeps a rectangle, pixels. Throws PluginError unless it lies within the frames.
  virtual void crop(int64_t x, int64_t y, int64_t width, int64_t height) = 0;
  /// Puts the channels in another order: channel c becomes what channel order[c] was.
  virtual void shuffle_channels(const std::array<int, 3>& order) = 0;
  /// Changes colours. in: one change for the clip, or one for each frame in the order in which the
  /// video shows them.
  virtual void change_colours(std::vector<ColourChange> changes) = 0;

  /// Changes the pixels of each frame, whose masks stay: noise, blur, a box that hides something.
  /// change(frame, t): frame [H,W,3] float32, RGB in 0..255, of this plan's size, not necessarily
  /// contiguous; it is changed in place and its levels are clipped to 0..255 afterwards. t is the
  /// frame's place in the clip. Called once a frame, in any order, in one thread.
  virtual void change_frames(std::function<void(at::Tensor frame, int64_t t)> change) = 0;

  /// Changes frames and masks together: a rotation, a warp. `height` and `width` are the result's,
  /// pixels. change(clip): out: a clip of the same T and N, of that size; row n stays instance n.
  /// Slower than the other operations, because the whole clip is in memory with all its masks.
  virtual void change_clip(int64_t height, int64_t width,
                           std::function<ClipPixels(ClipPixels clip)> change) = 0;
};

/// One step of `[data.augment]`: `[[data.augment.steps]] kind = "<name>"`. How often a step is done
/// (`probability`) is no option of its own: that is drawn before plan() is called.
///
/// The threads of the loader call one step at the same time for different clips: plan() is const
/// and changes nothing but its arguments.
class TESSERA_API Augmentation : public Part {
 public:
  static constexpr const char* kKind = "augmentation";
  ~Augmentation() override;

  /// Draws this step's numbers for one clip and adds its operations to the plan. Every draw comes
  /// from `random`, which depends on (seed, epoch, sample) alone, so that a run can be repeated.
  /// For draws by torch, seed a generator of your own with random.next().
  virtual void plan(ClipPlan& clip, Random& random) const = 0;

  /// Whether the step distorts colours as cameras do. Pseudo-clips get colours of their own: these
  /// steps are left out for them unless `pseudo_clip.photometric` is set.
  virtual bool is_photometric() const { return false; }
};

}  // namespace tessera
