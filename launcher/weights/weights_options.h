#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config/schema.h"

namespace tessera {

/// One of `weights.rename`: a regular expression on a file's key and what replaces every match.
struct RenameRule {
  std::string from, to;
  static void describe(Schema<RenameRule>& schema);
};

/// `[weights]`: what a model starts from. The order is key, prefix, ignore, rename, skip. The rules
/// are for `init` and pickled files: a file that training wrote has the model's own names.
struct WeightsOptions {
  std::optional<std::string> init;
  std::optional<std::string> key;
  std::string prefix;
  std::vector<RenameRule> rename;
  std::vector<std::string> ignore;
  std::vector<std::string> skip;
  static void describe(Schema<WeightsOptions>& schema);
};

}  // namespace tessera
