#include <ATen/ATen.h>

#include "core/error.h"
#include "core/matching/assignment.h"
#include "core/ops/deform_conv2d.h"
#include "core/ops/ms_deform_attn.h"
#include "core/ops/st_deform_attn.h"
#include "launcher/parity/model_case.h"

namespace tessera::parity {
namespace {

constexpr double kOperatorTolerance = 1e-10;  // of the scale, in double

/// The case's inputs in double, as leaves that take gradients.
struct Leaves {
  explicit Leaves(const Case& c) {
    for (const auto& [name, tensor] : c.inputs)
      tensors[name] = tensor.to(at::kDouble).set_requires_grad(name != "grad_output");
  }
  at::Tensor get(const std::string& name) const {
    const auto it = tensors.find(name);
    if (it == tensors.end())
      throw DataError("operator case: expected the input '" + name + "', got none.");
    return it->second;
  }
  std::optional<at::Tensor> find(const std::string& name) const {
    const auto it = tensors.find(name);
    return it == tensors.end() ? std::nullopt : std::optional<at::Tensor>(it->second);
  }
  std::map<std::string, at::Tensor> tensors;
};

std::array<int64_t, 2> pair_of(const nlohmann::json& value) {
  if (value.is_number()) return {value.get<int64_t>(), value.get<int64_t>()};
  return {value.at(0).get<int64_t>(), value.at(1).get<int64_t>()};
}

at::Tensor run_attention(const Case& c, const Leaves& in) {
  if (c.config.contains("shape_thw"))
    return st_deform_attn(in.get("value"), c.config["shape_thw"].get<std::array<int64_t, 3>>(),
                          in.get("sampling_locations"), in.get("attention_weights"));
  return ms_deform_attn(in.get("value"),
                        c.config["shapes_hw"].get<std::vector<std::array<int64_t, 2>>>(),
                        in.get("sampling_locations"), in.get("attention_weights"));
}

at::Tensor run_convolution(const Case& c, const Leaves& in, bool border_gradient) {
  DeformConvOptions options;
  options.stride = pair_of(c.config.at("stride"));
  options.padding = pair_of(c.config.at("padding"));
  options.dilation = pair_of(c.config.at("dilation"));
  options.groups = c.config.at("groups");
  options.offset_groups = c.config.at("offset_groups");
  options.border_gradient = border_gradient;
  return deform_conv2d(in.get("input"), in.get("offset"), in.find("mask"), in.get("weight"),
                       in.find("bias"), options);
}

std::vector<Comparison> compare_gradients(const Case& c, const Leaves& in, const at::Tensor& output,
                                          const std::string& suffix) {
  output.backward(in.get("grad_output"));
  std::vector<Comparison> results;
  ToleranceRules tolerance;
  tolerance.share_of_scale = kOperatorTolerance;
  for (const auto& [name, expected] : c.outputs) {
    const bool wanted = suffix.empty() ? !name.ends_with("_official") : name.ends_with(suffix);
    if (!wanted) continue;
    if (name == "output") {
      results.push_back(compare(name, output, expected, tolerance));
      continue;
    }
    const std::string leaf = name.substr(5, name.size() - 5 - suffix.size());  // after "grad."
    const auto source = in.find(leaf);
    if (!name.starts_with("grad.") || !source || !source->grad().defined()) {
      Comparison failed;
      failed.name = name;
      failed.problem = "expected output or the gradient of an input";
      results.push_back(failed);
    } else {
      results.push_back(compare(name, source->grad(), expected, tolerance));
    }
  }
  return results;
}

std::vector<Comparison> check_assignment(const Case& c) {
  std::vector<Comparison> results;
  for (const auto& [name, expected] : c.outputs) {
    const size_t dot = name.find('.');
    const std::string what = name.substr(0, dot), index = name.substr(dot + 1);
    const at::Tensor cost = c.inputs.at("cost." + index);
    const auto pairs = assign_minimum_cost(cost);
    if (what == "total") {
      double total = 0.0;
      for (const auto& [row, column] : pairs) total += cost[row][column].item<double>();
      ToleranceRules tolerance;
      tolerance.share_of_scale = kOperatorTolerance;
      results.push_back(compare(name, at::scalar_tensor(total, at::kDouble), expected, tolerance));
      continue;
    }
    // Where several assignments are optimal, ours may be another one: a legal one is what counts.
    std::vector<int64_t> ours;
    for (const auto& [row, column] : pairs) ours.push_back(what == "row" ? row : column);
    at::Tensor found = at::tensor(ours);
    const std::string kind = [&]() -> std::string {
      for (const auto& matrix : c.config["matrices"])
        if (matrix[0] == index) return matrix[2];
      return "";
    }();
    if (kind == "ties" || kind == "constant") {
      Comparison legal;
      legal.name = name;
      legal.passed = found.numel() == expected.numel() &&
                     std::get<0>(at::_unique(found)).numel() == found.numel();
      if (!legal.passed) legal.problem = "expected every row and column once";
      results.push_back(legal);
    } else {
      results.push_back(compare(name, found, expected, {}));
    }
  }
  return results;
}

}  // namespace

std::vector<Comparison> check_operator_case(const Case& c) {
  if (is_optimiser_case(c)) return check_optimiser_case(c);
  if (c.inputs.contains("cost.00") || c.config.contains("matrices")) return check_assignment(c);
  if (c.inputs.contains("attention_weights")) {
    const Leaves in(c);
    return compare_gradients(c, in, run_attention(c, in), "");
  }
  if (c.inputs.contains("offset")) {
    const Leaves in(c);
    auto results = compare_gradients(c, in, run_convolution(c, in, /*border_gradient=*/true), "");
    const Leaves again(c);
    const auto official =
        compare_gradients(c, again, run_convolution(c, again, false), "_official");
    results.insert(results.end(), official.begin(), official.end());
    return results;
  }
  throw ConfigError(
      (c.folder / "case.json").string() +
      ": expected an operator that parity_check knows (deformable attention, deformable "
      "convolution, assignment, AdaBelief), got '" +
      c.name + "'.");
}

}  // namespace tessera::parity
