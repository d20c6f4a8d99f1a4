#include "launcher/distributed/gradient_reducer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <chrono>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "launcher/distributed/c10d_groups.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;
using Buckets = std::vector<std::vector<size_t>>;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Of one backward pass on this rank.
struct BackwardNotes {
  Clock::time_point last_ready;       // when the last bucket was: what follows is not hidden
  std::vector<int64_t> bucket_bytes;  // as they became ready
};

/// Averages one bucket.
class AverageHook final : public c10d::CommHookInterface {
 public:
  AverageHook(c10::intrusive_ptr<c10d::ProcessGroup> group, bool bf16,
              std::shared_ptr<BackwardNotes> notes)
      : group_(std::move(group)), bf16_(bf16), notes_(std::move(notes)) {}

  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
    notes_->last_ready = Clock::now();
    at::Tensor whole = bucket.getBufferRef();
    notes_->bucket_bytes.push_back(static_cast<int64_t>(whole.nbytes()));
    whole.div_(group_->getSize());
    if (!bf16_) {
      std::vector<at::Tensor> sent{whole};
      return group_->allreduce(sent)->getFuture();
    }
    at::Tensor rounded = whole.to(at::kBFloat16);
    std::vector<at::Tensor> sent{rounded};
    return group_->allreduce(sent)->getFuture()->then(
        [whole, rounded](c10::ivalue::Future& done) {
          if (done.hasError()) std::rethrow_exception(done.exception_ptr());
          whole.copy_(rounded);
          return c10::IValue(whole);
        },
        c10::TensorType::get());
  }
  at::Tensor parseHookResult(const c10::IValue& result) override {
    return c10d::detail::parseCppCommHookResult(result);
  }

 private:
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  bool bf16_;
  std::shared_ptr<BackwardNotes> notes_;
};

/// The Reducer advises not to look for unused parameters where a step happened to have none.
/// Whether a later one has is not known: a clip without instances leaves some out.
class WithoutAdvice final : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    if (warning.msg().find("find_unused_parameters=True was specified") == std::string::npos)
      usual_->process(warning);
  }

 private:
  c10::WarningHandler* usual_ = c10::WarningUtils::get_warning_handler();
};

/// The last parameters get their gradients first, so their bucket comes first.
Buckets make_buckets(const std::vector<at::Tensor>& parameters, int64_t bucket_bytes) {
  const auto first =
      static_cast<size_t>(std::min<int64_t>(bucket_bytes, c10d::kDefaultFirstBucketBytes));
  std::vector<at::Tensor> reversed(parameters.rbegin(), parameters.rend());
  Buckets buckets = std::get<0>(
      c10d::compute_bucket_assignment_by_size(reversed, {first, static_cast<size_t>(bucket_bytes)},
                                              std::vector<bool>(parameters.size(), false)));
  for (auto& bucket : buckets)
    for (size_t& index : bucket) index = parameters.size() - 1 - index;
  return buckets;
}

}  // namespace

struct GradientReducer::Reduction {
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  std::vector<at::Tensor> parameters;
  Buckets buckets;
  bool bf16 = false;
  std::shared_ptr<BackwardNotes> notes = std::make_shared<BackwardNotes>();
  std::unique_ptr<c10d::Reducer> reducer;  // null: averaged after backward

  void average_now() {
    *notes = {Clock::now(), {}};
    std::vector<float> used;
    for (const at::Tensor& parameter : parameters) used.push_back(parameter.grad().defined());
    std::vector<at::Tensor> counts{at::tensor(used)};
    group->allreduce(counts)->wait();
    for (const auto& bucket : buckets) {
      std::vector<at::Tensor> flat;
      for (const size_t i : bucket) {
        const at::Tensor& gradient = parameters[i].grad();
        flat.push_back(
            (gradient.defined() ? gradient : at::zeros_like(parameters[i])).detach().reshape({-1}));
      }
      at::Tensor whole = at::cat(flat).div_(group->getSize());
      notes->bucket_bytes.push_back(static_cast<int64_t>(whole.nbytes()));
      std::vector<at::Tensor> sent{bf16 ? whole.to(at::kBFloat16) : whole};
      group->allreduce(sent)->wait();
      whole.copy_(sent[0]);
      int64_t start = 0;
      for (const size_t i : bucket) {
        const at::Tensor piece = whole.narrow(0, start, parameters[i].numel());
        start += parameters[i].numel();
        if (counts[0][static_cast<int64_t>(i)].item<float>() == 0) continue;
        at::Tensor& gradient = parameters[i].mutable_grad();
        if (!gradient.defined()) gradient = at::zeros_like(parameters[i]).detach();
        gradient.detach().copy_(piece.view(gradient.sizes()));
      }
    }
  }
};

GradientReducer::GradientReducer(const Communicator& communicator,
                                 std::vector<at::Tensor> parameters,
                                 const DistributedOptions& options) {
  if (communicator.size() == 1 || parameters.empty()) return;
  reduction_ = std::make_unique<Reduction>();
  reduction_->group = communicator.groups()->group;
  reduction_->bf16 = options.compression == "bf16";
  const int64_t bucket_bytes = options.bucket_mib << 20;
  reduction_->buckets = make_buckets(parameters, bucket_bytes);
  reduction_->parameters = std::move(parameters);
  if (!options.overlap) return;
  reduction_->reducer = std::make_unique<c10d::Reducer>(
      reduction_->parameters, reduction_->buckets, reduction_->group,
      std::vector<bool>(reduction_->parameters.size(), false), bucket_bytes,
      /*find_unused_parameters=*/true, /*gradient_as_bucket_view=*/false,
      std::unordered_map<size_t, std::string>(), c10d::kDefaultFirstBucketBytes,
      /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false,
      std::vector<int64_t>());
  reduction_->reducer->register_comm_hook(
      std::make_unique<AverageHook>(reduction_->group, reduction_->bf16, reduction_->notes));
}

GradientReducer::~GradientReducer() = default;

void GradientReducer::prepare(const at::Tensor& loss) {
  if (!reduction_ || !reduction_->reducer) return;
  reduction_->notes->bucket_bytes.clear();
  WithoutAdvice handler;
  const c10::WarningUtils::WarningHandlerGuard guard(&handler);
  reduction_->reducer->prepare_for_backward({loss});
}

void GradientReducer::finish() {
  if (!reduction_) return;
  if (!reduction_->reducer) reduction_->average_now();
  exposed_seconds_ = seconds_between(reduction_->notes->last_ready, Clock::now());
}

std::vector<int64_t> GradientReducer::bucket_bytes() const {
  return reduction_ ? reduction_->notes->bucket_bytes : std::vector<int64_t>();
}

}  // namespace tessera
