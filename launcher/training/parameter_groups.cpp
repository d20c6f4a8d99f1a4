#include <regex>

#include "core/error.h"
#include "launcher/training/optimiser.h"
#include "launcher/weights/patterns.h"

namespace tessera {
namespace {

constexpr size_t kShownNames = 8;

std::string some_names(const std::vector<NamedTensor>& model) {
  std::vector<std::string> names;
  for (const auto& tensor : model)
    if (tensor.is_parameter) names.push_back(tensor.name);
  const size_t count = names.size();
  if (count > kShownNames) names.resize(kShownNames);
  return " Parameters are named " + join(names) +
         (count > kShownNames ? ", ... (" + std::to_string(count) + " in all)." : ".");
}

}  // namespace

void freeze_parameters(const std::vector<NamedTensor>& model,
                       const std::vector<std::string>& patterns) {
  std::vector<std::string> unused;
  for (const auto& pattern : patterns) {
    const std::regex regex = compile_pattern(pattern, "train.frozen");
    bool used = false;
    for (const auto& tensor : model) {
      if (!tensor.is_parameter || !std::regex_search(tensor.name, regex)) continue;
      at::Tensor(tensor.tensor).requires_grad_(false);
      used = true;
    }
    if (!used) unused.push_back("'" + pattern + "'");
  }
  if (!unused.empty())
    throw ConfigError("train.frozen: expected patterns that are found in a parameter's name, got " +
                      join(unused) + "." + some_names(model));
}

std::vector<ParameterGroup> make_groups(const std::vector<NamedTensor>& model,
                                        const OptimiserOptions& options,
                                        const std::vector<ParameterGroupOptions>& patterns) {
  std::vector<ParameterGroup> groups;
  std::vector<std::regex> regexes;
  std::vector<bool> found(patterns.size(), false);  // in any parameter, taken or frozen
  for (size_t i = 0; i < patterns.size(); ++i) {
    const auto& group = patterns[i];
    const std::string where = "train.groups[" + std::to_string(i) + "].pattern";
    regexes.push_back(compile_pattern(group.pattern, where));
    groups.push_back({group.pattern,
                      group.lr.value_or(options.lr * group.lr_factor.value_or(1.0)),
                      group.weight_decay.value_or(options.weight_decay),
                      {},
                      {}});
  }
  groups.push_back({"", options.lr, options.weight_decay, {}, {}});

  for (const auto& tensor : model) {
    if (!tensor.is_parameter) continue;
    size_t taker = patterns.size();
    for (size_t i = patterns.size(); i-- > 0;) {
      if (!std::regex_search(tensor.name, regexes[i])) continue;
      found[i] = true;
      taker = i;
    }
    if (!tensor.tensor.requires_grad()) continue;
    groups[taker].names.push_back(tensor.name);
    groups[taker].parameters.push_back(tensor.tensor);
  }

  std::vector<std::string> mistakes;
  for (size_t i = 0; i < patterns.size(); ++i) {
    if (patterns[i].optional || !groups[i].names.empty()) continue;
    mistakes.push_back("train.groups[" + std::to_string(i) +
                       "].pattern: expected a pattern that takes a parameter, got '" +
                       patterns[i].pattern + "', " +
                       (found[i] ? "whose parameters are all frozen or taken by earlier groups."
                                 : "which is found in no name.") +
                       " Correct it, or set optional = true.");
  }
  if (!mistakes.empty()) throw ConfigError(join(mistakes, "\n") + some_names(model));
  std::erase_if(groups, [](const ParameterGroup& group) { return group.names.empty(); });
  return groups;
}

}  // namespace tessera
