#pragma once

#include <filesystem>
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

/// `[weights]`: what a model starts from. The order is key, prefix, ignore, rename, reset, skip.
struct WeightsOptions {
  std::optional<std::string> init;
  std::optional<std::string> key;
  std::string prefix;
  std::vector<RenameRule> rename;
  std::vector<std::string> ignore;
  std::vector<std::string> skip;
  std::vector<std::string> reset;
  std::string names = "released";
  std::string starts_from;
  bool from_scratch = false;
  static void describe(Schema<WeightsOptions>& schema);

  /// Whether rules lead to the names of the composed model, which `model.names` does not change.
  bool has_composed_names() const { return names == "composed"; }
};

/// The rules of `table` (a fragment such as experiments/base/weights/torchvision_resnet.toml) in
/// place of those of `options`. What the table does not state stays: init, starts_from,
/// from_scratch, a key and a prefix.
WeightsOptions with_rules(const WeightsOptions& options, const WeightsOptions& table);

/// The `[weights]` of a TOML file, which may be a fragment of an experiment. Throws ConfigError.
WeightsOptions read_weights_options(const std::filesystem::path& file);

}  // namespace tessera
