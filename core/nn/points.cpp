#include "core/nn/points.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "core/structures/shape.h"

namespace tessera {

void PointSampling::describe(Schema<PointSampling>& schema) {
  schema
      .field("num_points", &PointSampling::num_points,
             "Points P at which the mask of an instance in a frame is compared.")
      .at_least(1);
  schema
      .field("oversample_ratio", &PointSampling::oversample_ratio,
             "Random candidates for the uncertain points, as a multiple of P.")
      .at_least(1);
  schema
      .field("importance_ratio", &PointSampling::importance_ratio,
             "Part of P that are the candidates with the smallest |logit|; the rest is random.")
      .between(0, 1);
}

namespace {

/// FNV-1a, the same on every machine.
uint64_t hash_of(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325U;
  for (const unsigned char character : text) hash = (hash ^ character) * 0x100000001b3U;
  return hash;
}

}  // namespace

at::Tensor uniform_points(const ForwardContext& context, const std::string& use, int64_t count,
                          int64_t num_points, const at::Tensor& like, uint64_t clip_key) {
  at::Tensor points;
  if (context.points) {
    points = context.points->uniform(context.prefix + use, count, num_points);
    ShapeBinding sizes{{'R', count}, {'P', num_points}};
    expect_shape(points, "[R,P,2]", "points of " + use, sizes);
  } else {
    // The generator lives on the CPU: the numbers do not depend on the device.
    std::optional<at::Generator> generator = context.generator;
    if (clip_key != 0)
      generator = at::detail::createCPUGenerator(clip_key ^ hash_of(context.prefix + use));
    points = at::rand({count, num_points, 2}, generator, at::kFloat);
  }
  return points.to(like.options());
}

at::Tensor sample_at(const at::Tensor& maps, const at::Tensor& points) {
  const at::Tensor grid = points.unsqueeze(1) * 2 - 1;  // [N,1,P,2]
  return at::grid_sampler(maps, grid, /*bilinear*/ 0, /*zeros*/ 0, /*align_corners=*/false)
      .squeeze(2);
}

at::Tensor shrunk_masks(const at::Tensor& masks, int64_t stride) {
  const auto cells = [stride](int64_t pixels) { return (pixels + stride - 1) / stride; };
  return at::upsample_bilinear2d(masks, {cells(masks.size(2)), cells(masks.size(3))},
                                 /*align_corners=*/false);
}

}  // namespace tessera
