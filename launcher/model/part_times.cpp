#include "launcher/model/part_times.h"

#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <chrono>

namespace tessera {
namespace {

class TimedMasks final : public MaskSource {
 public:
  TimedMasks(std::shared_ptr<const MaskSource> source, PartTimes* times)
      : source_(std::move(source)), times_(times) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    const PartTimes::Scope scope(times_, "masks");
    return source_->logits(clip, rows);
  }
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    const PartTimes::Scope scope(times_, "masks");
    return source_->logits_at(clip, rows, points);
  }
  at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                     int64_t width) const override {
    const PartTimes::Scope scope(times_, "masks");
    return source_->resized(clip, rows, height, width);
  }

 private:
  std::shared_ptr<const MaskSource> source_;
  PartTimes* times_;
};

}  // namespace

PartTimes::PartTimes(at::Device device)
    : now_([device] {
        if (device.is_cuda()) at::detail::getCUDAHooks().deviceSynchronize(device.index());
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
      }) {}

void PartTimes::begin(std::string_view part) {
  count_until_now();
  open_.emplace_back(part);
}

void PartTimes::end() {
  count_until_now();
  open_.pop_back();
}

void PartTimes::count_until_now() {
  const double now = now_();
  if (!open_.empty()) seconds_[open_.back()] += now - since_;
  since_ = now;
}

std::shared_ptr<const MaskSource> timed(std::shared_ptr<const MaskSource> source,
                                        PartTimes* times) {
  if (!times || !source) return source;
  return std::make_shared<TimedMasks>(std::move(source), times);
}

}  // namespace tessera
