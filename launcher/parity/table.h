#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/config/schema.h"

namespace tessera::parity {

/// How a key of a case's `config` becomes overrides of the experiment. Keys of nested objects are
/// joined with dots; `$value` stands for the value as TOML, `$1`.. for groups of `key`.
struct ConfigRule {
  std::string key;                  // regular expression on the whole key
  std::vector<std::string> set;     // overrides
  std::vector<std::string> values;  // where set: the rule holds for these values only
  std::string note;                 // why a key sets nothing
  static void describe(Schema<ConfigRule>& schema);
};

/// Where a stored tensor comes from in ours.
struct TensorRule {
  std::string name;                 // regular expression on the whole name
  std::string from;                 // a source, see sources.h; `$1`.. are groups of `name`
  std::vector<std::string> view;    // steps applied to ours, see view.h
  std::string compare = "auto";     // auto: by type and name; pixels: counts of pixels; masks
  std::string variant;              // "" or the name of a [[variant]]
  std::vector<std::string> stored;  // steps applied to the stored tensor, to compare a part of it
  std::string scale;                // stored scalar that is the tensor's scale: of a signed sum,
                                    // that of the magnitudes
  bool last = false;                // where fewer rows are stored, they are our last
  bool more = false;                // rules that follow compare further parts of the same tensor
  static void describe(Schema<TensorRule>& schema);
};

/// Which recorded points a caller of the PointSource is given.
struct PointRule {
  std::string use;   // regular expression on the caller's name; the last layer's number is "last"
  std::string from;  // tensor of the case's inputs, [P,2] or [R,P,2]; `$1`.. are groups of `use`
  static void describe(Schema<PointRule>& schema);
};

/// Further overrides under which the loss is computed again on the same predictions.
struct Variant {
  std::string name;
  std::vector<std::string> set;
  bool gradients = false;  // of this loss, too, as `gradient.<name>`
  static void describe(Schema<Variant>& schema);
};

/// The `[train]` table of a case of learning rates, for the stored tensors that `tensors` matches.
struct RecipeRule {
  std::string tensors;              // regular expression on the whole name
  std::string key;                  // a key of the case's config that decides, or ""
  std::vector<std::string> values;  // the values of `key`, as TOML, that the rule holds for
  std::string train;                // TOML; `$(key)` is the value of the case's config, `$(key.0)`
                                    // the first of a list
  static void describe(Schema<RecipeRule>& schema);
};

/// `tests/parity/<system>.toml`: all that is particular to a system's cases.
struct Table {
  std::string kind = "model";    // model, backbone, operator or learning_rates
  std::string experiment;        // relative to the table
  std::string include;           // another table whose rules follow this one's, relative
  std::vector<std::string> set;  // overrides for every case
  std::vector<std::string>
      loss_set;           // overrides where the case has targets: the reference's faults
  std::string batch_key;  // key of the case's config that states B where frames are [B*T,..]
  std::string tracks;  // stored queries of the best tracks; gives `tracks.rows`, `.distinct`, ...
  std::string masks;   // stored masks of distinct tracks, whose size says that of the video
  std::vector<PointRule> points;
  std::vector<ConfigRule> config;
  std::vector<TensorRule> tensor;
  std::vector<Variant> variant;
  std::vector<RecipeRule> recipe;
  static void describe(Schema<Table>& schema);
};

Table read_table(const std::filesystem::path& file);

}  // namespace tessera::parity
