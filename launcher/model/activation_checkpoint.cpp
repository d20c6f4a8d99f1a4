#include "launcher/model/activation_checkpoint.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <optional>

namespace tessera {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The generators that a segment on `device` may draw from, and whether autocast is on.
struct Surroundings {
  explicit Surroundings(at::Device device)
      : device(device),
        cpu(at::detail::getDefaultCPUGenerator().get_state()),
        autocast(at::autocast::is_autocast_enabled(device.type())),
        autocast_type(at::autocast::get_autocast_dtype(device.type())) {
    if (device.is_cuda()) own = at::globalContext().defaultGenerator(device).get_state();
  }
  void restore() const {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    generator.set_state(cpu);
    if (own) {
      at::Generator device_generator = at::globalContext().defaultGenerator(device);
      device_generator.set_state(*own);
    }
    at::autocast::set_autocast_enabled(device.type(), autocast);
    at::autocast::set_autocast_dtype(device.type(), autocast_type);
  }

  at::Device device;
  at::Tensor cpu;
  std::optional<at::Tensor> own;
  bool autocast;
  at::ScalarType autocast_type;
};

/// Puts everything back as it was, also where the second run throws.
class Restored {
 public:
  Restored(const Surroundings& wanted, const variable_list& buffers)
      : before_(wanted.device), buffers_(buffers) {
    for (const at::Tensor& buffer : buffers_) {
      copies_.push_back(buffer.clone());
      versions_.push_back(buffer._version());
    }
    wanted.restore();
  }
  ~Restored() {
    before_.restore();
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < buffers_.size(); ++i)
      if (buffers_[i]._version() != versions_[i]) at::Tensor(buffers_[i]).copy_(copies_[i]);
  }
  Restored(const Restored&) = delete;
  Restored& operator=(const Restored&) = delete;

 private:
  Surroundings before_;
  variable_list buffers_, copies_;
  std::vector<int64_t> versions_;
};

struct Segment : torch::CustomClassHolder {
  TensorFunction run;
  variable_list parameters;
  variable_list buffers;
  std::optional<Surroundings> surroundings;  // of the first run
};

class Recompute : public torch::autograd::Function<Recompute> {
 public:
  static variable_list forward(AutogradContext* context, c10::intrusive_ptr<Segment> segment,
                               at::TensorList given, at::TensorList) {
    const variable_list inputs = given.vec();
    segment->surroundings.emplace(inputs.at(0).device());
    variable_list outputs = segment->run(inputs);
    context->save_for_backward(inputs);
    context->saved_data["segment"] = c10::IValue::make_capsule(segment);
    return outputs;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto segment =
        c10::dynamic_intrusive_pointer_cast<Segment>(context->saved_data["segment"].toCapsule());
    variable_list inputs;
    for (const at::Tensor& saved : context->get_saved_variables())
      inputs.push_back(saved.detach().requires_grad_(saved.requires_grad()));
    const Restored restored(*segment->surroundings, segment->buffers);
    const at::AutoGradMode recorded(true);
    const variable_list outputs = segment->run(inputs);

    variable_list sources = inputs;
    sources.insert(sources.end(), segment->parameters.begin(), segment->parameters.end());
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

std::vector<at::Tensor> run_checkpointed(const torch::nn::Module& module,
                                         const std::vector<at::Tensor>& inputs,
                                         TensorFunction segment) {
  auto made = c10::make_intrusive<Segment>();
  made->run = std::move(segment);
  made->parameters = module.parameters();
  made->buffers = module.buffers();
  // As TensorLists: autograd looks for tensors in these, not in vectors.
  return Recompute::apply(made, at::TensorList(inputs), at::TensorList(made->parameters));
}

}  // namespace tessera
