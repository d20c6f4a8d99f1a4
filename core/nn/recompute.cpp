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

using Work = std::function<at::Tensor(const at::Tensor&)>;

/// The random numbers and autocast settings that a computation began with.
struct Surroundings {
  at::Device device;
  at::Tensor random_state;
  bool autocast = false;
  at::ScalarType autocast_type = at::kFloat;

  static Surroundings of(const at::Device& device) {
    Surroundings now{device, random_state_of(device)};
    now.autocast = at::autocast::is_autocast_enabled(device.type());
    now.autocast_type = at::autocast::get_autocast_dtype(device.type());
    return now;
  }
  void restore() const {
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard lock(generator.mutex());
    generator.set_state(random_state);
    at::autocast::set_autocast_enabled(device.type(), autocast);
    at::autocast::set_autocast_dtype(device.type(), autocast_type);
  }

 private:
  static at::Tensor random_state_of(const at::Device& device) {
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard lock(generator.mutex());
    return generator.get_state();
  }
};

/// Puts back at the end of a scope what was there at its beginning.
class KeepSurroundings {
 public:
  explicit KeepSurroundings(const at::Device& device) : before_(Surroundings::of(device)) {}
  KeepSurroundings(const KeepSurroundings&) = delete;
  KeepSurroundings& operator=(const KeepSurroundings&) = delete;
  ~KeepSurroundings() { before_.restore(); }

 private:
  Surroundings before_;
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

struct Plan final : torch::CustomClassHolder {
  Plan(Work what, Surroundings where) : work(std::move(what)), surroundings(std::move(where)) {}
  Work work;
  Surroundings surroundings;
};

struct Recompute final : torch::autograd::Function<Recompute> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            at::TensorList parameters, const Work& work) {
    context->saved_data["plan"] = c10::IValue::make_capsule(
        c10::make_intrusive<Plan>(work, Surroundings::of(input.device())));
    std::vector<at::Tensor> saved{input};
    saved.insert(saved.end(), parameters.begin(), parameters.end());
    context->save_for_backward(std::move(saved));
    const UncachedAutocast uncached;
    return work(input);  // autograd is off in here
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto plan = context->saved_data["plan"].toCapsule();
    const Work& work = static_cast<const Plan&>(*plan).work;
    const Surroundings& surroundings = static_cast<const Plan&>(*plan).surroundings;
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::AutoGradMode with_gradients(true);
    const KeepSurroundings keep(surroundings.device);
    surroundings.restore();
    const UncachedAutocast uncached;
    const at::Tensor input = saved[0].detach().requires_grad_(saved[0].requires_grad());
    const at::Tensor output = work(input);

    std::vector<at::Tensor> wanted;
    if (input.requires_grad()) wanted.push_back(input);
    for (size_t i = 1; i < saved.size(); ++i)
      if (saved[i].requires_grad()) wanted.push_back(saved[i]);
    const auto found = torch::autograd::grad({output}, wanted, gradients, /*retain_graph=*/false,
                                             /*create_graph=*/false, /*allow_unused=*/true);
    size_t next = 0;
    torch::autograd::variable_list result;
    result.push_back(input.requires_grad() ? found[next++] : at::Tensor());
    for (size_t i = 1; i < saved.size(); ++i)
      result.push_back(saved[i].requires_grad() ? found[next++] : at::Tensor());
    result.emplace_back();  // `work` takes no gradient
    return result;
  }
};

}  // namespace

at::Tensor recompute(const Work& work, const at::Tensor& input,
                     const std::vector<at::Tensor>& parameters) {
  if (!at::GradMode::is_enabled()) return work(input);
  return Recompute::apply(input, at::TensorList(parameters), work);
}

}  // namespace tessera
