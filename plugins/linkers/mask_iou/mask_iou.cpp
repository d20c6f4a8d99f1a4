// Joins the tracks of overlapping windows by the IoU of their masks on the shared frames, one
// assignment for all tracks. Without overlap nothing can be compared: every track starts anew.

#include <ATen/ATen.h>

#include "core/interfaces/linker.h"
#include "core/matching/assignment.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::linker::mask_iou {

struct Options {
  double minimum_iou = 0.1;
  static void describe(Schema<Options>& schema) {
    schema.field("minimum_iou", &Options::minimum_iou, "Tracks that overlap less are not joined.")
        .between(0, 1);
  }
};

class MaskIou final : public Linker {
 public:
  using Options = mask_iou::Options;
  MaskIou(const Options& options, const BuildContext&) : options_(options) {}

  bool wants_masks() const override { return true; }

  at::Tensor link(const WindowTracks& before, const WindowTracks& next, int64_t overlap) override {
    ShapeBinding sizes;
    expect_shape(before.mask_logits, "[P,*,h,w]", "masks of the window before", sizes);
    expect_shape(next.mask_logits, "[Q,*,h,w]", "masks of the next window", sizes);
    at::Tensor linked = at::full({sizes['P']}, -1, at::kLong);
    if (overlap == 0 || sizes['P'] == 0 || sizes['Q'] == 0) return linked;
    const int64_t frames = before.mask_logits.size(1);
    const at::Tensor a =
        (before.mask_logits.slice(1, frames - overlap) > 0).flatten(1).to(at::kFloat);
    const at::Tensor b = (next.mask_logits.slice(1, 0, overlap) > 0).flatten(1).to(at::kFloat);
    const at::Tensor inter = a.matmul(b.t());  // [P,Q] pixels
    const at::Tensor united = a.sum(1).unsqueeze(1) + b.sum(1).unsqueeze(0) - inter;
    const at::Tensor iou = inter / united.clamp_min(1.0);
    for (const auto& [row, column] : assign_minimum_cost(-iou))
      if (iou[row][column].item<double>() >= options_.minimum_iou) linked[row] = column;
    return linked;
  }

 private:
  Options options_;
};

}  // namespace tessera::linker::mask_iou

TESSERA_PLUGIN(Linker, tessera::linker::mask_iou::MaskIou, "mask_iou",
               "Joins windows by mask IoU on the frames they share")
