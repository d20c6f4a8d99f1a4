#pragma once

#include <string>
#include <vector>

#include "core/error.h"
#include "launcher/training/optimisers/optimiser_rule.h"

namespace tessera {

/// Options of the rules that keep two running means of each parameter.
struct RunningMeans : OptimiserRule {
  std::vector<double> betas{0.9, 0.999};
  double eps = 1e-8;
  std::vector<SlotField> slots() const override {
    return {{"exp_avg", &OptimiserSlots::first},
            {"exp_avg_sq", &OptimiserSlots::second},
            {"step", &OptimiserSlots::step}};
  }
};

/// The fields of RunningMeans in the schema of `Rule`, with what `eps` does there.
template <class Rule>
void describe_running_means(Schema<Rule>& schema, const std::string& eps) {
  schema.field("betas", &Rule::betas, "Decay of the two running means.").between(0, 1);
  schema.field("eps", &Rule::eps, eps).more_than(0);
  schema.validate([](const Rule& rule) {
    if (rule.betas.size() == 2 && rule.betas[0] < 1 && rule.betas[1] < 1) return;
    std::vector<std::string> got;
    for (const double beta : rule.betas)
      got.push_back(to_toml_value(ConfigNode(ConfigNode::Value(beta))));
    throw ConfigError("betas: expected two numbers below 1, got [" + join(got) + "].");
  });
}

}  // namespace tessera
