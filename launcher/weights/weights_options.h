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

/// How the tensors of a file become a model's. The order is key, prefix, ignore, rename, reset,
/// skip.
struct WeightRules {
  std::optional<std::string> key{};
  std::string prefix{};
  std::vector<RenameRule> rename{};
  std::vector<std::string> ignore{};
  std::vector<std::string> skip{};
  std::vector<std::string> reset{};
  std::string names = "released";

  /// Whether rules lead to the names of the composed model, which `model.names` does not change.
  bool has_composed_names() const { return names == "composed"; }
};

/// One of `[[weights.files]]`: a file with rules of its own.
struct WeightFileOptions : WeightRules {
  std::string path{};
  std::string rules{};
  bool replace = false;
  static void describe(Schema<WeightFileOptions>& schema);

  /// Those of the file `rules`, if there is one, and then these. Throws ConfigError.
  WeightRules all_rules() const;
};

/// `[weights]`: what a model starts from; the rules are those of `init`.
struct WeightsOptions : WeightRules {
  std::optional<std::string> init{};
  std::string starts_from{};
  bool from_scratch = false;
  std::vector<WeightFileOptions> files{};
  static void describe(Schema<WeightsOptions>& schema);
};

/// The rules of `table` (a fragment such as experiments/base/weights/torchvision_resnet.toml) in
/// place of those of `options`. What the table does not state stays: init, files, starts_from,
/// from_scratch, a key and a prefix.
WeightsOptions with_rules(const WeightsOptions& options, const WeightsOptions& table);

/// The `[weights]` of a TOML file, which may be a fragment of an experiment. Throws ConfigError.
WeightsOptions read_weights_options(const std::filesystem::path& file);

}  // namespace tessera
