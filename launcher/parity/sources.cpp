#include "launcher/parity/sources.h"

#include <ATen/ATen.h>

#include <regex>

#include "launcher/parity/view.h"

namespace tessera::parity {
namespace {

// By the first rule that names the tensor, and by those after it while they say `more`.
std::vector<Comparison> compare_stored(const Case& c, const Table& table, const std::string& name,
                                       const at::Tensor& expected,
                                       const std::map<std::string, Sources>& variants) {
  std::vector<Comparison> comparisons;
  auto failed = [&](const std::string& problem) {
    Comparison comparison;
    comparison.name = name;
    comparison.problem = problem;
    comparisons.push_back(std::move(comparison));
    return comparisons;
  };
  for (const TensorRule& rule : table.tensor) {
    std::smatch groups;
    if (!std::regex_match(name, groups, std::regex(rule.name))) continue;
    const std::string from = groups.format(rule.from);
    const Sources& sources = variants.at(rule.variant);
    const auto source = sources.find(from);
    if (source == sources.end())
      return failed("expected the source '" + from + "', which this model does not give");
    ToleranceRules tolerance;
    tolerance.rounding = c.rounding(name);
    if (name.starts_with("grad.")) tolerance.share_of_scale = 1e-3;
    if (!rule.scale.empty()) {
      const auto scale = c.outputs.find(groups.format(rule.scale));
      if (scale == c.outputs.end())
        return failed("expected the stored scale '" + groups.format(rule.scale) + "', got none");
      tolerance.scale = scale->second.item<double>();
    }
    tolerance.masks = rule.compare == "masks";
    if (rule.compare == "pixels")
      tolerance.pixels =
          c.config["post_size"][0].get<int64_t>() * c.config["post_size"][1].get<int64_t>();
    std::vector<std::string> view = rule.view;
    for (std::string& step : view) step = groups.format(step);
    at::Tensor ours = apply_view(source->second.detach(), view);
    const at::Tensor stored = apply_view(expected, rule.stored);
    if (rule.last && ours.dim() > 0 && stored.dim() > 0 && ours.size(0) > stored.size(0))
      ours = ours.narrow(0, ours.size(0) - stored.size(0), stored.size(0));
    comparisons.push_back(compare(name, ours, stored, tolerance));
    if (!rule.more) return comparisons;
  }
  if (comparisons.empty()) return failed("no rule of the table names this tensor");
  return failed("the last rule that names this tensor says that more follow, and none does");
}

}  // namespace

std::vector<Comparison> compare_outputs(const Case& c, const Table& table,
                                        const std::map<std::string, Sources>& variants) {
  std::vector<Comparison> comparisons;
  for (const auto& [name, expected] : c.outputs)
    for (Comparison& comparison : compare_stored(c, table, name, expected, variants))
      comparisons.push_back(std::move(comparison));
  return comparisons;
}

}  // namespace tessera::parity
