#pragma once
// Weights of a whole model, as commands are given them: a file, the experiment's rules, and what a
// refusal may propose.

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/weights/load_weights.h"
#include "launcher/weights/rule_tables.h"

namespace tessera {

/// Weights that training starts from: all rules apply. Throws DataError as load_weights() does; if
/// a prefix or one of `tables` would explain all differences, the message names it and nothing
/// else.
LoadReport load_initial_weights(VisModel& model, const std::filesystem::path& file,
                                const WeightsOptions& rules, const std::vector<RuleTable>& tables);

/// Weights of a model that is finished: `skip` and `reset` do not apply, because nothing would
/// train what they leave fresh. A safetensors file that has exactly the model's own names is taken
/// without rules, any other file by the rules if they fit, and by its own names if those do.
LoadReport load_finished_weights(VisModel& model, const std::filesystem::path& file,
                                 const WeightsOptions& rules, const std::vector<RuleTable>& tables);

/// The same from a file that is read already; `where` names it in errors.
LoadReport load_finished_weights(VisModel& model, WeightFile content, const std::string& where,
                                 const WeightsOptions& rules);

/// The experiment's rules, or those of `table`, the argument of --rules: a TOML file, or "none".
WeightsOptions chosen_rules(const WeightsOptions& experiment, const std::string& table);

}  // namespace tessera
