// Joins a window to tracks by the soft IoU of their masks (IFC: Hwang et al. 2021, 3.3): mask
// probabilities instead of thresholded masks, a mean over all earlier windows that hold the track
// in a shared frame.

#include <ATen/ATen.h>

#include <algorithm>

#include "core/interfaces/linker.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::linker::soft_mask_iou {

struct Options {
  double minimum_iou = 0.05;
  static void describe(Schema<Options>& schema) {
    schema
        .field("minimum_iou", &Options::minimum_iou,
               "Tracks whose soft IoU is this or lower are not joined.")
        .between(0, 1);
  }
};

class SoftMaskIou final : public Linker {
 public:
  using Options = soft_mask_iou::Options;
  SoftMaskIou(const Options& options, const BuildContext&) : options_(options) {}

  bool wants_masks() const override { return true; }
  bool remembers_windows() const override { return true; }
  int64_t needed_overlap() const override { return 1; }

  at::Tensor cost(const WindowTracks& before, const WindowTracks& next,
                  int64_t overlap) const override {
    return cost_of(soft_iou(before, next, overlap));
  }

  at::Tensor history_cost(const TrackHistory& history, const WindowTracks& next) const override {
    const auto options = at::TensorOptions(at::kDouble);
    at::Tensor sum = at::zeros({history.num_tracks, next.mask_logits.size(0)}, options);
    at::Tensor count = at::zeros({history.num_tracks, 1}, options);
    for (const TrackHistory::Window& window : history.windows) {
      const int64_t overlap = shared_frames(window.rows, next);
      if (overlap == 0) continue;
      sum.index_add_(0, window.track, soft_iou(window.rows, next, overlap));
      count.index_add_(0, window.track, at::ones({window.track.size(0), 1}, options));
    }
    return cost_of(sum / (count + kSmall));
  }

  // A pair without any overlap is never joined.
  double largest_cost() const override { return 1 - std::max(options_.minimum_iou, 1e-9); }

 private:
  static constexpr double kSmall = 1e-6;  // of the authors' ratios

  /// in: `overlap` frames, the first of `next`. out: [P,Q] double on the CPU.
  static at::Tensor soft_iou(const WindowTracks& before, const WindowTracks& next,
                             int64_t overlap) {
    ShapeBinding sizes;
    expect_shape(before.mask_logits, "[P,*,h,w]", "masks of an earlier window", sizes);
    expect_shape(next.mask_logits, "[Q,*,h,w]", "masks of the next window", sizes);
    const int64_t first = next.first_frame - before.first_frame;
    const auto probabilities = [overlap](const at::Tensor& logits, int64_t from) {
      return logits.narrow(1, from, overlap).sigmoid().to(at::kCPU, at::kDouble).flatten(1);
    };
    const at::Tensor a = probabilities(before.mask_logits, first);
    const at::Tensor b = probabilities(next.mask_logits, 0);
    const at::Tensor both = a.matmul(b.t());
    return both / (a.sum(1, true) + b.sum(1).unsqueeze(0) - both + kSmall);
  }

  at::Tensor cost_of(const at::Tensor& iou) const { return 1 - iou * (iou > options_.minimum_iou); }

  Options options_;
};

}  // namespace tessera::linker::soft_mask_iou

TESSERA_PLUGIN(Linker, tessera::linker::soft_mask_iou::SoftMaskIou, "soft_mask_iou",
               "Joins a window to tracks by the soft IoU with all windows that share frames (IFC)")
