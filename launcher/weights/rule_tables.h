#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/weights/weights_options.h"

namespace tessera {

/// A file with rules for the names of weight files.
struct RuleTable {
  std::string file;
  WeightsOptions rules;
};

/// The tables of names that are shipped beside an experiment: `base/weights/*.toml` in its folder
/// or one of those above. Empty if there are none. A table that is malformed is left out: it is
/// only a proposal.
std::vector<RuleTable> rule_tables_near(const std::filesystem::path& experiment);

}  // namespace tessera
