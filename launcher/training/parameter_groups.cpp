#include <charconv>
#include <cmath>
#include <map>
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

/// The group's layer, or the number that its pattern captures; -1 where that is no number.
int64_t layer_of(const std::string& name, const std::regex& regex,
                 const ParameterGroupOptions& group) {
  if (group.layer) return *group.layer;
  std::smatch match;
  std::regex_search(name, match, regex);
  const std::string digits = match[1].str();
  int64_t layer = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), layer);
  return error == std::errc() && end == digits.data() + digits.size() ? layer : -1;
}

ParameterGroup group_of(const ParameterGroupOptions& group, const OptimiserOptions& options,
                        int64_t layer) {
  double lr = group.lr.value_or(options.lr * group.lr_factor.value_or(1.0));
  if (group.layer_decay)
    lr *= std::pow(*group.layer_decay, static_cast<double>(*group.num_layers - 1 - layer));
  return {group.pattern,
          lr,
          group.weight_decay.value_or(options.weight_decay),
          {},
          {},
          group.schedule.value_or("")};
}

}  // namespace

void freeze_parts(VisModel& model, const TrainOptions& options) {
  if (!options.frozen_parts.empty())
    model.freeze(options.frozen_parts, /*evaluates=*/options.frozen_mode == "eval");
}

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
  std::vector<std::regex> regexes;
  std::vector<bool> found(patterns.size(), false);  // in any parameter, taken or frozen
  for (size_t i = 0; i < patterns.size(); ++i)
    regexes.push_back(
        compile_pattern(patterns[i].pattern, "train.groups[" + std::to_string(i) + "].pattern"));

  std::vector<std::string> mistakes;
  std::map<std::pair<size_t, int64_t>, ParameterGroup> taken;  // by pattern and layer
  for (const auto& tensor : model) {
    if (!tensor.is_parameter) continue;
    size_t taker = patterns.size();
    for (size_t i = patterns.size(); i-- > 0;) {
      if (!std::regex_search(tensor.name, regexes[i])) continue;
      found[i] = true;
      taker = i;
    }
    if (!tensor.tensor.requires_grad()) continue;
    int64_t layer = 0;
    if (taker < patterns.size() && patterns[taker].layer_decay) {
      layer = layer_of(tensor.name, regexes[taker], patterns[taker]);
      if (layer < 0 || layer >= *patterns[taker].num_layers) {
        mistakes.push_back(
            "train.groups[" + std::to_string(taker) +
            "]: expected layers below num_layers = " + std::to_string(*patterns[taker].num_layers) +
            " in '" + patterns[taker].pattern + "', got the parameter " + tensor.name + ".");
        continue;
      }
    }
    auto place = taken.find({taker, layer});
    if (place == taken.end()) {
      ParameterGroup group = taker < patterns.size()
                                 ? group_of(patterns[taker], options, layer)
                                 : ParameterGroup{"", options.lr, options.weight_decay, {}, {}};
      place = taken.emplace(std::pair(taker, layer), std::move(group)).first;
    }
    place->second.names.push_back(tensor.name);
    place->second.parameters.push_back(tensor.tensor);
  }

  if (!mistakes.empty()) throw ConfigError(join(mistakes, "\n"));
  for (size_t i = 0; i < patterns.size(); ++i) {
    const auto first = taken.lower_bound({i, 0});
    if (patterns[i].optional || (first != taken.end() && first->first.first == i)) continue;
    mistakes.push_back("train.groups[" + std::to_string(i) +
                       "].pattern: expected a pattern that takes a parameter, got '" +
                       patterns[i].pattern + "', " +
                       (found[i] ? "whose parameters are all frozen or taken by earlier groups."
                                 : "which is found in no name.") +
                       " Correct it, or set optional = true.");
  }
  if (!mistakes.empty()) throw ConfigError(join(mistakes, "\n") + some_names(model));
  std::vector<ParameterGroup> groups;
  for (auto& [key, group] : taken) groups.push_back(std::move(group));
  return groups;
}

}  // namespace tessera
