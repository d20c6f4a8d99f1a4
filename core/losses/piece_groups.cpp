#include "core/losses/piece_groups.h"

#include <ATen/core/Tensor.h>

#include <limits>
#include <utility>

namespace tessera {
namespace {

class EveryNth final : public MaskSource {
 public:
  EveryNth(std::shared_ptr<const MaskSource> all, int64_t first, int64_t step)
      : all_(std::move(all)), first_(first), step_(step) {}
  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    return all_->logits(place(clip), rows);
  }
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    return all_->logits_at(place(clip), rows, points);
  }
  at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                     int64_t width) const override {
    return all_->resized(place(clip), rows, height, width);
  }

 private:
  int64_t place(int64_t clip) const { return first_ + clip * step_; }

  std::shared_ptr<const MaskSource> all_;
  int64_t first_, step_;
};

}  // namespace

LayerPrediction every_nth(const LayerPrediction& prediction, int64_t first, int64_t step) {
  const auto some = [&](const at::Tensor& all) {
    return all.defined() ? all.slice(0, first, std::numeric_limits<int64_t>::max(), step) : all;
  };
  LayerPrediction result = prediction;
  result.classes.logits = some(prediction.classes.logits);
  result.boxes = some(prediction.boxes);
  result.identity = some(prediction.identity);
  if (prediction.masks) result.masks = std::make_shared<EveryNth>(prediction.masks, first, step);
  return result;
}

}  // namespace tessera
