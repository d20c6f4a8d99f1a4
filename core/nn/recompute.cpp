#include "core/nn/recompute.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Generator.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <mutex>

namespace tessera {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The random numbers and autocast settings that a computation began with. Work on a GPU may draw
/// from the CPU's generator, too.
class Surroundings {
 public:
  explicit Surroundings(at::Device device)
      : device_(device),
        autocast_(at::autocast::is_autocast_enabled(device.type())),
        autocast_type_(at::autocast::get_autocast_dtype(device.type())) {
    states_.emplace_back(at::kCPU, random_state(at::kCPU));
    if (!device.is_cpu()) states_.emplace_back(device, random_state(device));
  }
  void restore() const {
    for (const auto& [device, state] : states_) {
      at::Generator generator = at::globalContext().defaultGenerator(device);
      const std::lock_guard lock(generator.mutex());
      generator.set_state(state);
    }
    at::autocast::set_autocast_enabled(device_.type(), autocast_);
    at::autocast::set_autocast_dtype(device_.type(), autocast_type_);
  }
  at::Device device() const { return device_; }

 private:
  static at::Tensor random_state(at::Device device) {
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard lock(generator.mutex());
    return generator.get_state();
  }

  at::Device device_;
  bool autocast_;
  at::ScalarType autocast_type_;
  std::vector<std::pair<at::Device, at::Tensor>> states_;
};

/// Casts of parameters that autocast kept from the first run have no gradient, and those of the
/// second must not outlive it.
class UncachedAutocast {
 public:
  UncachedAutocast() : before_(at::autocast::is_autocast_cache_enabled()) {
    at::autocast::set_autocast_cache_enabled(false);
  }
  UncachedAutocast(const UncachedAutocast&) = delete;
  UncachedAutocast& operator=(const UncachedAutocast&) = delete;
  ~UncachedAutocast() { at::autocast::set_autocast_cache_enabled(before_); }

 private:
  bool before_;
};

/// For the second run: everything as the first began, and put back afterwards, also where it
/// throws.
class SecondRun {
 public:
  SecondRun(const Surroundings& wanted, const variable_list& buffers)
      : before_(wanted.device()), buffers_(buffers) {
    for (const at::Tensor& buffer : buffers_) {
      copies_.push_back(buffer.clone());
      versions_.push_back(buffer._version());
    }
    wanted.restore();
  }
  ~SecondRun() {
    before_.restore();
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < buffers_.size(); ++i)
      if (buffers_[i]._version() != versions_[i]) at::Tensor(buffers_[i]).copy_(copies_[i]);
  }
  SecondRun(const SecondRun&) = delete;
  SecondRun& operator=(const SecondRun&) = delete;

 private:
  Surroundings before_;
  UncachedAutocast uncached_;
  const variable_list& buffers_;
  variable_list copies_;
  std::vector<int64_t> versions_;
};

struct Segment final : torch::CustomClassHolder {
  Segment(TensorFunction what, variable_list buffers_it_has, at::Device device)
      : work(std::move(what)), buffers(std::move(buffers_it_has)), surroundings(device) {}
  TensorFunction work;
  variable_list buffers;
  Surroundings surroundings;  // of the first run
  size_t num_inputs = 0;      // the other saved tensors are parameters
};

struct Recompute final : torch::autograd::Function<Recompute> {
  // TensorLists: autograd looks for tensors in these, not in vectors.
  static variable_list forward(AutogradContext* context, const c10::intrusive_ptr<Segment>& segment,
                               at::TensorList inputs, at::TensorList parameters) {
    segment->num_inputs = inputs.size();
    variable_list saved = inputs.vec();
    saved.insert(saved.end(), parameters.begin(), parameters.end());
    context->save_for_backward(std::move(saved));
    context->saved_data["segment"] = c10::IValue::make_capsule(segment);
    const UncachedAutocast uncached;
    variable_list outputs = segment->work(inputs.vec());  // autograd is off in here
    // An output becomes part of the graph, which a buffer must not.
    for (at::Tensor& output : outputs)
      for (const at::Tensor& buffer : segment->buffers)
        if (output.is_same(buffer)) output = buffer.detach();
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto segment =
        c10::dynamic_intrusive_pointer_cast<Segment>(context->saved_data["segment"].toCapsule());
    variable_list sources = context->get_saved_variables(), inputs;
    for (size_t i = 0; i < segment->num_inputs; ++i) {
      sources[i] = sources[i].detach().requires_grad_(sources[i].requires_grad());
      inputs.push_back(sources[i]);
    }
    const SecondRun second_run(segment->surroundings, segment->buffers);
    const at::AutoGradMode with_gradients(true);
    const variable_list outputs = segment->work(inputs);

    variable_list wanted, reached, given;
    for (const at::Tensor& source : sources)
      if (source.requires_grad()) wanted.push_back(source);
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!outputs[i].requires_grad() || !gradients.at(i).defined()) continue;
      reached.push_back(outputs[i]);
      given.push_back(gradients[i]);
    }
    variable_list found(wanted.size());
    if (!reached.empty() && !wanted.empty())
      found = torch::autograd::grad(reached, wanted, given, /*retain_graph=*/false,
                                    /*create_graph=*/false, /*allow_unused=*/true);
    variable_list result{at::Tensor()};  // of the segment, which is no tensor
    size_t next = 0;
    for (const at::Tensor& source : sources)
      result.push_back(source.requires_grad() ? found[next++] : at::Tensor());
    return result;
  }
};

}  // namespace

std::vector<at::Tensor> recompute(const TensorFunction& work, const std::vector<at::Tensor>& inputs,
                                  const std::vector<at::Tensor>& parameters,
                                  const std::vector<at::Tensor>& buffers) {
  if (!at::GradMode::is_enabled()) return work(inputs);
  const auto segment = c10::make_intrusive<Segment>(work, buffers, inputs.at(0).device());
  return Recompute::apply(segment, at::TensorList(inputs), at::TensorList(parameters));
}

at::Tensor recompute(const std::function<at::Tensor(const at::Tensor&)>& work,
                     const at::Tensor& input, const std::vector<at::Tensor>& parameters) {
  const TensorFunction of_list = [work](const std::vector<at::Tensor>& given) {
    return std::vector<at::Tensor>{work(given.at(0))};
  };
  return recompute(of_list, std::vector<at::Tensor>{input}, parameters).at(0);
}

}  // namespace tessera
