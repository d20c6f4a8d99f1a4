// Cases of single networks of core/nn: inputs under their own names, weights by the case's keys.

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/nn/patch_discriminator.h"
#include "core/nn/self_attention.h"
#include "launcher/parity/model_case.h"
#include "launcher/weights/load_weights.h"

namespace tessera::parity {
namespace {

void load(torch::nn::Module& network, const Case& c) {
  std::vector<NamedTensor> names;
  for (const auto& item : network.named_parameters())
    names.push_back({item.key(), item.value(), true});
  load_weights(names, generated_weights(c).tensors, c.folder.string(), {});
  network.eval();
}

std::map<std::string, at::Tensor> run_self_attention(const Case& c) {
  SelfAttention attention(c.config.at("dim"), c.config.at("num_heads"), c.config.at("qkv_bias"));
  load(attention, c);
  return {{"y", attention.forward(c.input("x"))}};
}

std::map<std::string, at::Tensor> run_discriminator(const Case& c) {
  std::map<std::string, at::Tensor> leaves;
  for (const auto& [name, tensor] : c.inputs) leaves[name] = tensor.clone().set_requires_grad(true);
  PatchDiscriminator network(c.input("features0").size(1));
  load(network, c);
  std::map<std::string, at::Tensor> ours;
  ForwardContext context;
  context.probe = [&](const std::string& name, const at::Tensor& value) {
    ours[name.substr(name.find('.') + 1)] = value;
  };
  const at::Tensor score = network.forward(
      leaves.at("img"), leaves.at("mask"),
      {leaves.at("features0"), leaves.at("features1"), leaves.at("features2")}, false, context);
  ours["score"] = score;
  ours["score_mean"] = score.mean().unsqueeze(0);
  score.mean().backward();
  std::map<std::string, at::Tensor> gradients;
  for (const auto& [name, leaf] : leaves) gradients[name] = leaf.grad();
  for (const auto& item : network.named_parameters()) gradients[item.key()] = item.value().grad();
  for (const auto& [name, gradient] : gradients) {
    ours["grad." + name] = gradient;
    ours["gradsum." + name] = gradient.to(at::kDouble).sum().unsqueeze(0);
    ours["gradabs." + name] = gradient.to(at::kDouble).abs().sum().unsqueeze(0);
    ours["gradhead." + name] = gradient.flatten().slice(0, 0, 64);
    ours["grad." + name + ".head"] = gradient.flatten().slice(0, 0, 4096);
  }
  return ours;
}

}  // namespace

bool is_layer_case(const Case& c) {
  return c.inputs.contains("features0") || (c.inputs.contains("x") && c.outputs.contains("y"));
}

std::vector<Comparison> check_layer_case(const Case& c) {
  const auto ours = c.inputs.contains("x") ? run_self_attention(c) : run_discriminator(c);
  std::vector<Comparison> results;
  for (const auto& [name, expected] : c.outputs) {
    const auto found = ours.find(name);
    if (found == ours.end()) {
      Comparison failed;
      failed.name = name;
      failed.problem = "expected an output of the network or a gradient of what went in";
      results.push_back(failed);
      continue;
    }
    ToleranceRules tolerance;
    tolerance.rounding = c.rounding(name);
    constexpr std::string_view kSum = "gradsum.";
    if (name.starts_with(kSum))
      if (const auto magnitudes = c.outputs.find("gradabs." + name.substr(kSum.size()));
          magnitudes != c.outputs.end())
        tolerance.scale = magnitudes->second.item<double>();
    results.push_back(compare(name, found->second, expected, tolerance));
  }
  return results;
}

}  // namespace tessera::parity
