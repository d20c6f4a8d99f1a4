#include "launcher/parity/model_case.h"

#include <ATen/ATen.h>

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "launcher/training/optimiser.h"

namespace tessera::parity {
namespace {

/// What the case's config sets; a switch that our AdaBelief does not have must be as ours.
OptimiserOptions options_of(const Case& c) {
  std::string toml = "kind = \"adabelief\"\n";
  for (const auto& [key, value] : c.config.items()) {
    if (key == "lr" || key == "weight_decay" || key == "betas" || key == "eps" || key == "rectify")
      toml += key + " = " + value.dump() + "\n";
    else if (key == "weight_decouple" || key == "degenerated_to_sgd" || key == "amsgrad" ||
             key == "fixed_decay") {
      const bool ours = key == "weight_decouple" || key == "degenerated_to_sgd";
      if (value.get<bool>() != ours)
        throw ConfigError((c.folder / "case.json").string() + ": config." + key + ": expected " +
                          (ours ? "true" : "false") + ", got " + value.dump() +
                          ": the toolkit's AdaBelief has no other.");
    } else if (key != "steps" && key != "n_sma") {
      throw ConfigError((c.folder / "case.json").string() + ": config." + key +
                        ": expected a key of an AdaBelief case, got this one.");
    }
  }
  OptimiserOptions options;
  ReadContext context;
  schema_of<OptimiserOptions>().read(&options, parse_toml(toml, (c.folder / "case.json").string()),
                                     "config", context);
  context.throw_if_failed();
  return options;
}

}  // namespace

bool is_optimiser_case(const Case& c) {
  return c.config.contains("betas") && c.config.contains("steps");
}

std::vector<Comparison> check_optimiser_case(const Case& c) {
  ParameterGroup group;
  const OptimiserOptions options = options_of(c);
  group.lr = options.lr;
  group.weight_decay = options.weight_decay;
  for (const auto& [name, tensor] : c.inputs)
    if (!name.starts_with("grad")) {
      group.names.push_back(name);
      group.parameters.push_back(tensor.clone().set_requires_grad(true));
    }
  Optimiser optimiser(options, {group});

  std::map<std::string, at::Tensor> ours;
  for (int64_t step = 1; step <= c.config.at("steps").get<int64_t>(); ++step) {
    const std::string at = std::to_string(step);
    for (size_t i = 0; i < group.names.size(); ++i)
      group.parameters[i].mutable_grad() = c.inputs.at("grad" + at + "." + group.names[i]).clone();
    optimiser.step(1.0);
    for (size_t i = 0; i < group.names.size(); ++i)
      ours["step" + at + "." + group.names[i]] = group.parameters[i].detach().clone();
    for (const auto& [name, tensor] : optimiser.state()) {  // "<slot>.<parameter>"
      const size_t dot = name.find('.');
      ours["step" + at + "." + name.substr(dot + 1) + "." + name.substr(0, dot)] = tensor.clone();
    }
  }
  std::vector<Comparison> results;
  for (const auto& [name, expected] : c.outputs) {
    const auto found = ours.find(name);
    if (found == ours.end()) {
      Comparison failed;
      failed.name = name;
      failed.problem = "expected a parameter or a slot after a step";
      results.push_back(failed);
    } else {
      results.push_back(compare(name, found->second, expected, {}));
    }
  }
  return results;
}

}  // namespace tessera::parity
