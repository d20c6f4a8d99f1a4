#include "launcher/model/recomputed_masks.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "core/nn/recompute.h"

namespace tessera {
namespace {

/// All that masks of a layer are computed from.
struct Sources {
  FeaturePyramid pyramid;
  Memory memory;
  InstanceLayer embeddings;
  at::Tensor boxes;

  /// All tensors, defined or not.
  std::vector<at::Tensor*> fields() {
    std::vector<at::Tensor*> all;
    const auto add = [&all](at::Tensor& tensor, Leading /*leading*/) { all.push_back(&tensor); };
    for_each_tensor(pyramid, add);
    for_each_tensor(memory, add);
    for_each_tensor(embeddings, add);
    all.push_back(&boxes);
    return all;
  }
};

/// What the masks of all layers share.
struct Batch {
  std::shared_ptr<MaskHead> mask_head;
  FeaturePyramid pyramid;
  Memory memory;
  ForwardContext context;
  int64_t rows_at_a_time;
  std::vector<at::Tensor> parameters, buffers;
  mutable std::once_flag once;
  mutable std::shared_ptr<const PreparedMasks> prepared_once;

  /// For masks without gradients.
  const PreparedMasks& prepared() const {
    std::call_once(once, [this] { prepared_once = mask_head->prepare(pyramid, memory, context); });
    return *prepared_once;
  }
};

using Masks = std::function<at::Tensor(const MaskSource&)>;

class RecomputedMasks final : public MaskSource {
 public:
  RecomputedMasks(std::shared_ptr<const Batch> batch, int64_t layer, InstanceLayer embeddings,
                  at::Tensor boxes)
      : batch_(std::move(batch)),
        layer_(layer),
        embeddings_(std::move(embeddings)),
        boxes_(std::move(boxes)) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    return by_rows(rows, [&](int64_t first, int64_t count) {
      return [clip, some = rows.narrow(0, first, count)](const MaskSource& masks) {
        return masks.logits(clip, some);
      };
    });
  }
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    return by_rows(rows, [&](int64_t first, int64_t count) {
      return [clip, some = rows.narrow(0, first, count), where = points.narrow(0, first, count)](
                 const MaskSource& masks) { return masks.logits_at(clip, some, where); };
    });
  }
  at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                     int64_t width) const override {
    return by_rows(rows, [&](int64_t first, int64_t count) {
      return [clip, some = rows.narrow(0, first, count), height, width](const MaskSource& masks) {
        return masks.resized(clip, some, height, width);
      };
    });
  }

 private:
  at::Tensor by_rows(const at::Tensor& rows,
                     const std::function<Masks(int64_t first, int64_t count)>& masks_of) const {
    const int64_t total = rows.size(0);
    if (!at::GradMode::is_enabled())
      return masks_of(0, total)(*batch_->prepared().masks(layer_, embeddings_, boxes_));
    const int64_t step = batch_->rows_at_a_time > 0 ? batch_->rows_at_a_time : total;
    if (total <= step) return recompute_masks(masks_of(0, total));
    std::vector<at::Tensor> parts;
    for (int64_t first = 0; first < total; first += step)
      parts.push_back(recompute_masks(masks_of(first, std::min(step, total - first))));
    return at::cat(parts);
  }

  at::Tensor recompute_masks(const Masks& masks) const {
    Sources rest{batch_->pyramid, batch_->memory, embeddings_, boxes_};
    std::vector<at::Tensor> inputs;
    std::vector<bool> is_input;
    // The node outlives the batch; tensors that it kept would be in memory to the end of backward.
    for (at::Tensor* field : rest.fields()) {
      // Only these may have gradients.
      is_input.push_back(field->defined() && field->is_floating_point());
      if (is_input.back()) inputs.push_back(std::exchange(*field, at::Tensor()));
    }
    const TensorFunction run = [masks, mask_head = batch_->mask_head,
                                context = batch_->context.unobserved(), layer = layer_, rest,
                                is_input](const std::vector<at::Tensor>& given) {
      Sources same = rest;
      const auto fields = same.fields();
      size_t next = 0;
      for (size_t i = 0; i < fields.size(); ++i)
        if (is_input[i]) *fields[i] = given.at(next++);
      const auto prepared = mask_head->prepare(same.pyramid, same.memory, context);
      return std::vector<at::Tensor>{masks(*prepared->masks(layer, same.embeddings, same.boxes))};
    };
    return recompute(run, inputs, batch_->parameters, batch_->buffers).at(0);
  }

  std::shared_ptr<const Batch> batch_;
  int64_t layer_;
  InstanceLayer embeddings_;
  at::Tensor boxes_;
};

class PreparedAnew final : public PreparedMasks {
 public:
  explicit PreparedAnew(std::shared_ptr<const Batch> batch) : batch_(std::move(batch)) {}
  std::shared_ptr<const MaskSource> masks(int64_t layer, const InstanceLayer& embeddings,
                                          const at::Tensor& boxes) const override {
    return std::make_shared<RecomputedMasks>(batch_, layer, embeddings, boxes);
  }

 private:
  std::shared_ptr<const Batch> batch_;
};

}  // namespace

std::shared_ptr<const PreparedMasks> recomputed(std::shared_ptr<MaskHead> mask_head,
                                                const FeaturePyramid& pyramid, const Memory& memory,
                                                const ForwardContext& context,
                                                int64_t rows_at_a_time) {
  auto batch = std::make_shared<Batch>();
  batch->parameters = mask_head->parameters();
  batch->buffers = mask_head->buffers();
  batch->mask_head = std::move(mask_head);
  batch->pyramid = pyramid;
  batch->memory = memory;
  batch->context = context;
  batch->rows_at_a_time = rows_at_a_time;
  return std::make_shared<PreparedAnew>(std::move(batch));
}

}  // namespace tessera
