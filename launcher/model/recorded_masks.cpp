#include "launcher/model/recorded_masks.h"

#include <ATen/core/Tensor.h>

#include <utility>

#include "launcher/model/part_scope.h"

namespace tessera {
namespace {

class RecordedMasks final : public MaskSource {
 public:
  RecordedMasks(std::shared_ptr<const MaskSource> source, std::string part,
                std::shared_ptr<const ForwardContext> context)
      : context_(std::move(context)), source_(std::move(source)), part_(std::move(part)) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    const PartScope scope(part_);
    return source_->logits(clip, rows);
  }
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    const PartScope scope(part_);
    return source_->logits_at(clip, rows, points);
  }
  at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                     int64_t width) const override {
    const PartScope scope(part_);
    return source_->resized(clip, rows, height, width);
  }

 private:
  std::shared_ptr<const ForwardContext> context_;  // for heads that refer to it
  std::shared_ptr<const MaskSource> source_;
  std::string part_;
};

}  // namespace

std::shared_ptr<const MaskSource> recorded(std::shared_ptr<const MaskSource> source,
                                           std::string part,
                                           std::shared_ptr<const ForwardContext> context) {
  if (!source) return source;
  return std::make_shared<RecordedMasks>(std::move(source), std::move(part), std::move(context));
}

}  // namespace tessera
