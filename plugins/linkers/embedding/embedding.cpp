// Joins the tracks of neighbouring windows by their query embeddings (Huang et al. 2022, MinVIS):
// cost = 1 - cosine, over all queries, those of no object included; windows need not overlap. With
// mask_weight the IoU of the masks on the shared frames helps: + mask_weight * (1 - IoU).

#include <ATen/ATen.h>

#include "core/interfaces/linker.h"
#include "core/matching/mask_iou.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::linker::embedding {

struct Options {
  double mask_weight = 0.0;
  double minimum_similarity = -1.0;
  static void describe(Schema<Options>& schema) {
    schema
        .field("mask_weight", &Options::mask_weight,
               "Weight of 1 - mask IoU on the shared frames beside 1 - cosine; needs an overlap.")
        .at_least(0);
    schema
        .field("minimum_similarity", &Options::minimum_similarity,
               "Tracks less alike, (cosine + mask_weight * IoU) / (1 + mask_weight), are not "
               "joined; -1 joins all.")
        .between(-1, 1);
  }
};

class Embedding final : public Linker {
 public:
  using Options = embedding::Options;
  Embedding(const Options& options, const BuildContext&) : options_(options) {}

  bool wants_masks() const override { return options_.mask_weight > 0; }
  int64_t needed_overlap() const override { return wants_masks() ? 1 : 0; }

  at::Tensor cost(const WindowTracks& before, const WindowTracks& next,
                  int64_t overlap) const override {
    ShapeBinding sizes;
    expect_shape(before.embeddings, "[P,D]", "embeddings of the window before", sizes);
    expect_shape(next.embeddings, "[Q,D]", "embeddings of the next window", sizes);
    // No epsilon, as the reference: an embedding of zeros gives NaN, which link() refuses.
    const at::Tensor a = before.embeddings / before.embeddings.norm(2, {1}, /*keepdim=*/true);
    const at::Tensor b = next.embeddings / next.embeddings.norm(2, {1}, /*keepdim=*/true);
    at::Tensor cost = 1 - a.matmul(b.t());  // [P,Q]
    if (!wants_masks()) return cost;
    const at::Tensor iou = overlap_mask_iou(before.mask_logits, next.mask_logits, overlap);
    return cost + options_.mask_weight * (1 - iou.to(cost.device()));
  }

  // similarity >= minimum  <=>  cost <= (1 + mask_weight) * (1 - minimum); rounding of a cosine of
  // -1 must not end a track, hence the margin.
  double largest_cost() const override {
    return (1 + options_.mask_weight) * (1 - options_.minimum_similarity) + 1e-6;
  }

 private:
  Options options_;
};

}  // namespace tessera::linker::embedding

TESSERA_PLUGIN(Linker, tessera::linker::embedding::Embedding, "embedding",
               "Joins windows by the likeness of query embeddings, and of masks where wanted")
