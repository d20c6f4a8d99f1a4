#include "launcher/model/mac_counter.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <functional>
#include <stdexcept>

namespace tessera {
namespace {

using Inputs = c10::ArrayRef<const c10::IValue>;

/// What an operator's call costs: `fixed`, and `per_output` for each value of its first output.
struct Cost {
  int64_t fixed = 0, per_output = 0;
};

at::Tensor tensor(const Inputs& inputs, size_t index) {
  return inputs.at(index).toTensor();
}

/// [..,n,k] x [..,k,m].
Cost product(const at::Tensor& left, const at::Tensor& right) {
  return {left.numel() * (right.dim() > 1 ? right.size(-1) : 1)};
}

Cost convolution(const Inputs& inputs) {
  const at::Tensor input = tensor(inputs, 0), weight = tensor(inputs, 1);
  const int64_t per_channel = weight.numel() / weight.size(0);
  const bool is_transposed = inputs.at(6).toBool();
  // A transposed convolution spreads each value of its input over so many of its output.
  return is_transposed ? Cost{input.numel() * per_channel} : Cost{0, per_channel};
}

/// oneDNN's, which linear() of core/nn calls by its name for large products.
Cost onednn_convolution(const Inputs& inputs) {
  const at::Tensor weight = tensor(inputs, 1);
  return {0, weight.numel() / weight.size(0)};
}

Cost attention(const Inputs& inputs) {
  const at::Tensor query = tensor(inputs, 0), key = tensor(inputs, 1), value = tensor(inputs, 2);
  const int64_t pairs = query.numel() / query.size(-1) * key.size(-2);
  return {pairs * (query.size(-1) + value.size(-1))};
}

Cost deformable(const Inputs& inputs, int64_t neighbours) {
  const at::Tensor value = tensor(inputs, 0), weights = tensor(inputs, 3);
  return {weights.numel() * value.size(-1) * neighbours};
}

Cost deformable_convolution(const Inputs& inputs) {
  const at::Tensor input = tensor(inputs, 0), offset = tensor(inputs, 1),
                   weight = tensor(inputs, 3);
  const int64_t cells = offset.size(0) * offset.size(2) * offset.size(3),
                taps = weight.size(2) * weight.size(3);
  return {cells * taps * input.size(1) * 4, weight.numel() / weight.size(0)};
}

using Rule = std::function<Cost(const Inputs&)>;

/// What is called through the dispatcher for them all: linear layers, einsum and matmul become
/// these.
const Rule* rule_of(const std::string& name) {
  auto product_at = [](size_t left) {
    return [left](const Inputs& inputs) {
      return product(tensor(inputs, left), tensor(inputs, left + 1));
    };
  };
  static const std::map<std::string, Rule> kRules{
      {"aten::convolution", convolution},
      {"aten::mkldnn_convolution", onednn_convolution},
      {"aten::mm", product_at(0)},
      {"aten::bmm", product_at(0)},
      {"aten::mv", product_at(0)},
      {"aten::dot", product_at(0)},
      {"aten::addmm", product_at(1)},
      {"aten::_addmm_activation", product_at(1)},
      {"aten::addmv", product_at(1)},
      {"aten::baddbmm", product_at(1)},
      {"aten::addbmm", product_at(1)},
      {"aten::scaled_dot_product_attention", attention},
      {"tessera::ms_deform_attn", [](const Inputs& inputs) { return deformable(inputs, 4); }},
      {"tessera::st_deform_attn", [](const Inputs& inputs) { return deformable(inputs, 8); }},
      {"tessera::deform_conv2d", deformable_convolution},
  };
  const auto found = kRules.find(name);
  return found == kRules.end() ? nullptr : &found->second;
}

// PyTorch calls plain functions back, in the thread that runs the operator.
thread_local MacCounter* active_counter = nullptr;

/// From the start of an operator or scope to its end.
struct Running final : at::ObserverContext {
  bool is_scope = false;
  int64_t per_output = 0;
};

}  // namespace

struct MacObserver {
  static std::unique_ptr<at::ObserverContext> start(const at::RecordFunction& function) {
    if (function.scope() == at::RecordScope::USER_SCOPE) {
      active_counter->scopes_.emplace_back(function.name());
      auto running = std::make_unique<Running>();
      running->is_scope = true;
      return running;
    }
    const Rule* rule = rule_of(function.name());
    if (!rule) return nullptr;
    auto running = std::make_unique<Running>();
    if (active_counter->inside_++ == 0) {
      const Cost cost = (*rule)(function.inputs());
      add(cost.fixed);
      running->per_output = cost.per_output;
    }
    return running;
  }

  static void end(const at::RecordFunction& function, at::ObserverContext* context) {
    auto* running = static_cast<Running*>(context);
    if (!running || !active_counter) return;
    if (running->is_scope) {
      active_counter->scopes_.pop_back();
      return;
    }
    --active_counter->inside_;
    if (running->per_output > 0)
      add(running->per_output * function.outputs().at(0).toTensor().numel());
  }

 private:
  static void add(int64_t macs) {
    active_counter
        ->by_scope_[active_counter->scopes_.empty() ? "" : active_counter->scopes_.back()] += macs;
  }
};

MacCounter::MacCounter() {
  if (active_counter)
    throw std::logic_error("MacCounter: expected one at a time in a thread, got two.");
  active_counter = this;
  handle_ = at::addThreadLocalCallback(
      at::RecordFunctionCallback(MacObserver::start, MacObserver::end)
          .needsInputs(true)
          .needsOutputs(true)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::USER_SCOPE}));
}

MacCounter::~MacCounter() {
  at::removeCallback(handle_);
  active_counter = nullptr;
}

int64_t MacCounter::total() const {
  int64_t sum = 0;
  for (const auto& [scope, macs] : by_scope_) sum += macs;
  return sum;
}

}  // namespace tessera
