#include <ATen/ATen.h>

#include "core/structures/shape.h"
#include "launcher/contract/inputs.h"
#include "launcher/contract/run_parts.h"

namespace tessera::contract {

std::vector<at::Tensor> run_instance_head(InstanceHead& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const LayerPrediction prediction =
      part.forward(0, make_embeddings(frames, numbers), frames,
                   {.classes = true, .boxes = true, .masks = false}, context);
  ShapeBinding sizes{{'B', kClips}, {'T', frames}, {'Q', kQueries}};
  expect_shape(prediction.boxes, "[B,T,Q,4]", "boxes", sizes);
  expect_shape(prediction.classes.logits,
               prediction.classes.scope == ClassScope::frame ? "[B,T,Q,C]" : "[B,Q,C]",
               "class logits", sizes);
  check(prediction.classes.num_classes() >= kCategories + prediction.classes.label_offset,
        "a class for every category");
  check(prediction.boxes.min().item<double>() >= 0 && prediction.boxes.max().item<double>() <= 1,
        "boxes in 0..1");
  return {prediction.classes.logits, prediction.boxes};
}

std::vector<at::Tensor> run_mask_head(MaskHead& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const auto prepared =
      part.prepare(make_pyramid(frames, numbers), make_memory(frames, numbers), context);
  const auto masks = prepared->masks(0, make_embeddings(frames, numbers),
                                     numbers.uniform({kClips, frames, kQueries, 4}) * 0.5 + 0.2);
  const at::Tensor all = masks->logits(1, at::arange(kQueries));
  const at::Tensor one = masks->logits(1, at::tensor({int64_t{2}}));
  ShapeBinding sizes{{'Q', kQueries}, {'T', frames}};
  expect_shape(all, "[Q,T,h,w]", "mask logits", sizes);
  expect_shape(one, "[1,T,h,w]", "mask logits of one row", sizes);
  check(at::allclose(one, all.narrow(0, 2, 1), 1e-3, 1e-4),
        "a row to be the same alone and among others");
  const at::Tensor points =
      masks->logits_at(1, at::tensor({int64_t{2}}), numbers.uniform({1, frames, 6, 2}));
  expect_shape(points, "[1,T,6]", "logits at points", sizes);
  return {all, points};
}

}  // namespace tessera::contract
