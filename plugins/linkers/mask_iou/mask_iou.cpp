// Joins the tracks of overlapping windows by the IoU of their masks on the shared frames.

#include "core/matching/mask_iou.h"

#include <ATen/ATen.h>

#include "core/interfaces/linker.h"
#include "core/plugin/plugin.h"

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
  int64_t needed_overlap() const override { return 1; }

  at::Tensor cost(const WindowTracks& before, const WindowTracks& next,
                  int64_t overlap) const override {
    return 1 - overlap_mask_iou(before.mask_logits, next.mask_logits, overlap);
  }

  double largest_cost() const override { return 1 - options_.minimum_iou; }

 private:
  Options options_;
};

}  // namespace tessera::linker::mask_iou

TESSERA_PLUGIN(Linker, tessera::linker::mask_iou::MaskIou, "mask_iou",
               "Joins windows by mask IoU on the frames they share")
