#include "launcher/model/autocast.h"

#include <ATen/autocast_mode.h>

#include <utility>

#include "core/nn/precision.h"

namespace tessera {
namespace {

class FullPrecisionMasks final : public MaskSource {
 public:
  FullPrecisionMasks(std::shared_ptr<const MaskSource> source, at::ScalarType type,
                     at::Device device)
      : source_(std::move(source)), type_(type), device_(device) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    const AutocastScope scope(type_, device_);
    return to_full_precision(source_->logits(clip, rows));
  }
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    const AutocastScope scope(type_, device_);
    return to_full_precision(source_->logits_at(clip, rows, points));
  }
  at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                     int64_t width) const override {
    const AutocastScope scope(type_, device_);
    return to_full_precision(source_->resized(clip, rows, height, width));
  }

 private:
  std::shared_ptr<const MaskSource> source_;
  at::ScalarType type_;
  at::Device device_;
};

}  // namespace

std::vector<std::string> autocast_names() {
  return {"none", "bfloat16"};
}

std::optional<at::ScalarType> autocast_type(const std::string& name) {
  return name == "bfloat16" ? std::optional(at::kBFloat16) : std::nullopt;
}

AutocastScope::AutocastScope(std::optional<at::ScalarType> type, at::Device device)
    : on_(type.has_value()), device_(device.type()) {
  if (!on_) return;
  before_ = at::autocast::is_autocast_enabled(device_);
  type_before_ = at::autocast::get_autocast_dtype(device_);
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_, *type);
  at::autocast::increment_nesting();
}

AutocastScope::~AutocastScope() {
  if (!on_) return;
  at::autocast::set_autocast_enabled(device_, before_);
  at::autocast::set_autocast_dtype(device_, type_before_);
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
}

std::shared_ptr<const MaskSource> in_full_precision(std::shared_ptr<const MaskSource> source,
                                                    std::optional<at::ScalarType> type,
                                                    at::Device device) {
  if (!type || !source) return source;
  return std::make_shared<FullPrecisionMasks>(std::move(source), *type, device);
}

}  // namespace tessera
