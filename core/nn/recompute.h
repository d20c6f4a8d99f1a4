#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/export.h"

namespace tessera {

/// Part of a forward pass: tensors in, tensors out.
using TensorFunction = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

/// Activation checkpointing (Chen et al. 2016): runs `work(inputs)` without keeping what it
/// computes on the way; the backward pass runs it a second time, with the random numbers and the
/// autocast settings of the first, and gives the same gradients: memory for time. `parameters` are
/// those that `work` uses; they are inputs of the node, so that whoever waits for their gradients
/// (a reducer) sees each once. `buffers` (running statistics) are left by the second run as it
/// found them. Where no gradient is wanted, `work` just runs. Differentiable once. in: inputs
/// floating-point, at least one, all that `work` needs beside parameters and buffers. out: what
/// `work` gives, floating-point.
TESSERA_API std::vector<at::Tensor> recompute(const TensorFunction& work,
                                              const std::vector<at::Tensor>& inputs,
                                              const std::vector<at::Tensor>& parameters,
                                              const std::vector<at::Tensor>& buffers = {});

/// The same of one tensor.
TESSERA_API at::Tensor recompute(const std::function<at::Tensor(const at::Tensor&)>& work,
                                 const at::Tensor& input,
                                 const std::vector<at::Tensor>& parameters);

/// The same for a structure with tensors in it; `fields` lists pointers to them, `module` has the
/// parameters and buffers. Tensors that are not floating-point, and everything else, are those of
/// the first run.
template <class Output>
Output recompute(const torch::nn::Module& module, const std::vector<at::Tensor>& inputs,
                 std::function<Output(const std::vector<at::Tensor>&)> work,
                 std::function<std::vector<at::Tensor*>(Output&)> fields) {
  auto first = std::make_shared<Output>();
  const auto is_passed_on = [](const at::Tensor& tensor) {
    return tensor.defined() && tensor.is_floating_point();
  };
  // Weak: the node outlives the first run's output and must not keep it.
  const TensorFunction tensors_of =
      [work = std::move(work), fields, is_passed_on,
       slot = std::weak_ptr<Output>(first)](const std::vector<at::Tensor>& given) {
        Output output = work(given);
        std::vector<at::Tensor> tensors;
        for (const at::Tensor* tensor : fields(output))
          if (is_passed_on(*tensor)) tensors.push_back(*tensor);
        if (const auto wanted = slot.lock()) *wanted = std::move(output);
        return tensors;
      };
  const auto outputs = recompute(tensors_of, inputs, module.parameters(), module.buffers());
  Output result = std::move(*first);
  size_t next = 0;
  for (at::Tensor* tensor : fields(result))
    if (is_passed_on(*tensor)) *tensor = outputs.at(next++);
  return result;
}

}  // namespace tessera
