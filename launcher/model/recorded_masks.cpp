#include "launcher/model/recorded_masks.h"

#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>

#include <utility>

namespace tessera {
namespace {

class RecordedMasks final : public MaskSource {
 public:
  explicit RecordedMasks(std::shared_ptr<const MaskSource> source) : source_(std::move(source)) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    RECORD_USER_SCOPE("mask_head");
    return source_->logits(clip, rows);
  }
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    RECORD_USER_SCOPE("mask_head");
    return source_->logits_at(clip, rows, points);
  }
  at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                     int64_t width) const override {
    RECORD_USER_SCOPE("mask_head");
    return source_->resized(clip, rows, height, width);
  }

 private:
  std::shared_ptr<const MaskSource> source_;
};

}  // namespace

std::shared_ptr<const MaskSource> recorded(std::shared_ptr<const MaskSource> source) {
  if (!source) return source;
  return std::make_shared<RecordedMasks>(std::move(source));
}

}  // namespace tessera
