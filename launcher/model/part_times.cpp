#include "launcher/model/part_times.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/record_function.h>

#include <chrono>
#include <stdexcept>
#include <utility>

namespace tessera {
namespace {

// PyTorch calls plain functions back, in the thread that enters the scope.
thread_local PartTimes* active_times = nullptr;

}  // namespace

struct PartObserver {
  static std::unique_ptr<at::ObserverContext> start(const at::RecordFunction& function) {
    active_times->count_until_now();
    active_times->open_.emplace_back(function.name());
    return nullptr;
  }
  static void end(const at::RecordFunction& /*function*/, at::ObserverContext* /*context*/) {
    if (!active_times) return;  // the scope outlived the times
    active_times->count_until_now();
    active_times->open_.pop_back();
  }
};

PartTimes::PartTimes(at::Device device)
    : PartTimes([device] {
        if (device.is_cuda()) at::detail::getCUDAHooks().deviceSynchronize(device.index());
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
      }) {}

PartTimes::PartTimes(std::function<double()> now) : now_(std::move(now)) {
  if (active_times)
    throw std::logic_error("PartTimes: expected one at a time in a thread, got two.");
  active_times = this;
  handle_ =
      at::addThreadLocalCallback(at::RecordFunctionCallback(PartObserver::start, PartObserver::end)
                                     .scopes({at::RecordScope::USER_SCOPE}));
}

PartTimes::~PartTimes() {
  at::removeCallback(handle_);
  active_times = nullptr;
}

void PartTimes::count_until_now() {
  const double now = now_();
  if (!open_.empty()) seconds_[open_.back()] += now - since_;
  since_ = now;
}

}  // namespace tessera
