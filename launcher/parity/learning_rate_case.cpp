#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "launcher/parity/model_case.h"
#include "launcher/training/schedule.h"

namespace tessera::parity {
namespace {

constexpr double kRelativeTolerance = 1e-12;  // of doubles

/// The case's config by key, and the entries of lists as "<key>.<place>".
std::map<std::string, std::string> config_values(const Case& c) {
  std::map<std::string, std::string> values;
  for (const auto& [key, value] : c.flat_config()) values[key] = value;
  for (const auto& [key, value] : c.config.items())
    if (value.is_array())
      for (size_t i = 0; i < value.size(); ++i)
        values[key + "." + std::to_string(i)] = value[i].dump();
  return values;
}

/// The rule's [train] table with the case's values in it.
TrainOptions train_options_of(const Case& c, const RecipeRule& rule) {
  const auto values = config_values(c);
  static const std::regex reference(R"(\$\(([^)]*)\))");
  std::string toml;
  auto end = rule.train.begin();
  for (std::sregex_iterator i(rule.train.begin(), rule.train.end(), reference), none; i != none;
       ++i) {
    toml.append(end, (*i)[0].first);
    const auto found = values.find((*i)[1].str());
    if (found == values.end())
      throw ConfigError((c.folder / "case.json").string() + ": expected config." + (*i)[1].str() +
                        ", which the table names, got none.");
    toml += found->second;
    end = (*i)[0].second;
  }
  toml.append(end, rule.train.end());
  TrainOptions options;
  ReadContext context;
  schema_of<TrainOptions>().read(&options, parse_toml(toml, c.system + ": recipe"), "train",
                                 context);
  context.throw_if_failed();
  return options;
}

const RecipeRule* rule_of(const Case& c, const Table& table, const std::string& tensor) {
  const auto values = config_values(c);
  for (const RecipeRule& rule : table.recipe) {
    if (!std::regex_match(tensor, std::regex(rule.tensors))) continue;
    if (rule.key.empty()) return &rule;
    const auto found = values.find(rule.key);
    if (found != values.end() &&
        std::find(rule.values.begin(), rule.values.end(), found->second) != rule.values.end())
      return &rule;
  }
  return nullptr;
}

/// The rates of a recipe for parameters of the case's names.
struct Rates {
  at::Tensor lr;      // [steps, parameters] float64
  at::Tensor factor;  // [parameters] float64, of the groups alone
};

Rates rates_of(const Case& c, const TrainOptions& options) {
  std::vector<NamedTensor> model;
  std::map<std::string, int64_t> columns;
  for (const auto& parameter : c.config.at("parameters")) {
    const auto name = parameter.get<std::string>();
    columns[name] = static_cast<int64_t>(model.size());
    model.push_back({name, at::zeros({1}).set_requires_grad(true), true});
  }
  const at::Tensor steps = c.input("steps").to(at::kLong);
  const auto count = static_cast<int64_t>(model.size());
  Rates rates{at::full({steps.size(0), count}, std::nan(""), at::kDouble),
              at::full({count}, std::nan(""), at::kDouble)};
  const std::vector<ParameterGroup> groups = make_groups(model, options.optimiser, options.groups);
  const ScheduleLength length = schedule_length(options, 1);
  const Schedules schedules{options.schedule, options.schedules};
  for (int64_t row = 0; row < steps.size(0); ++row) {
    const auto factors = schedules.factors(groups, length, steps[row].item<int64_t>());
    for (size_t g = 0; g < groups.size(); ++g)
      for (const std::string& name : groups[g].names) {
        rates.lr[row][columns.at(name)] = groups[g].lr * factors[g];
        rates.factor[columns.at(name)] = groups[g].lr / options.optimiser.lr;
      }
  }
  return rates;
}

Comparison compare_relative(const std::string& name, const at::Tensor& ours,
                            const at::Tensor& expected) {
  Comparison result;
  result.name = name;
  if (ours.sizes() != expected.sizes()) {
    result.problem = "expected the shape of the case's steps and parameters";
    return result;
  }
  const at::Tensor stored = expected.to(at::kDouble);
  // A rate of zero must be zero.
  const at::Tensor scale = stored.abs().clamp_min(std::numeric_limits<double>::min());
  result.difference = ((ours - stored).abs() / scale).max().item<double>();
  result.tolerance = kRelativeTolerance;
  result.scale = stored.abs().max().item<double>();
  result.passed = result.difference <= result.tolerance;  // false for NaN
  return result;
}

}  // namespace

bool is_learning_rate_case(const Case& c) {
  return c.outputs.contains("lr") && c.config.contains("parameters");
}

std::vector<Comparison> check_learning_rate_case(const Case& c, const Table& table) {
  std::vector<Comparison> results;
  for (const auto& [name, expected] : c.outputs) {
    const RecipeRule* rule = rule_of(c, table, name);
    if (rule == nullptr) {
      Comparison failed;
      failed.name = name;
      failed.problem = "expected a recipe of the table that names it";
      results.push_back(failed);
      continue;
    }
    const Rates rates = rates_of(c, train_options_of(c, *rule));
    results.push_back(
        compare_relative(name, name.starts_with("factor") ? rates.factor : rates.lr, expected));
  }
  return results;
}

}  // namespace tessera::parity
