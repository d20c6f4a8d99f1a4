#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <vector>

namespace tessera {

using TensorFunction = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

/// Runs `segment` without keeping what is inside it for backward, which runs it a second time:
/// memory for time. The second run draws the same random numbers, has the same autocast state and
/// leaves running statistics alone. The parameters of `module` are inputs of the autograd node, so
/// that c10d's Reducer sees their gradients once each. in: inputs, floating-point, all that the
/// segment needs beside its parameters. out: what `segment` gave, floating-point tensors only.
std::vector<at::Tensor> run_checkpointed(const torch::nn::Module& module,
                                         const std::vector<at::Tensor>& inputs,
                                         TensorFunction segment);

/// The same for a structure with tensors in it; `fields` lists pointers to them. Tensors that are
/// not floating-point, and everything else, are those of the first run.
template <class Output>
Output run_checkpointed(const torch::nn::Module& module, const std::vector<at::Tensor>& inputs,
                        std::function<Output(const std::vector<at::Tensor>&)> segment,
                        std::function<std::vector<at::Tensor*>(Output&)> fields) {
  auto first = std::make_shared<Output>();
  const auto is_passed_on = [](const at::Tensor& tensor) {
    return tensor.defined() && tensor.is_floating_point();
  };
  auto outputs =
      run_checkpointed(module, inputs,
                       [segment, fields, is_passed_on,
                        slot = std::weak_ptr<Output>(first)](const std::vector<at::Tensor>& given) {
                         Output output = segment(given);
                         std::vector<at::Tensor> tensors;
                         for (const at::Tensor* tensor : fields(output))
                           if (is_passed_on(*tensor)) tensors.push_back(*tensor);
                         if (const auto wanted = slot.lock()) *wanted = std::move(output);
                         return tensors;
                       });
  Output result = std::move(*first);
  size_t next = 0;
  for (at::Tensor* tensor : fields(result))
    if (is_passed_on(*tensor)) *tensor = outputs.at(next++);
  return result;
}

}  // namespace tessera
