#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/config/schema.h"
#include "core/plugin/registry.h"

namespace tessera::sweep {

/// One of a sweep's `[[variants]]`.
struct Variant {
  std::string name;
  std::string experiment;        // relative to the sweep's file; empty: the sweep's
  std::vector<std::string> set;  // overrides after the sweep's
  static void describe(Schema<Variant>& schema);
};

/// A sweep's file: variants of an experiment that are trained on the same data for the same time.
struct SweepFile {
  std::string description;
  std::string experiment;
  int64_t seeds = 3;
  int64_t first_seed = 1;
  std::vector<std::string> set;     // overrides for all variants
  std::vector<std::string> differ;  // keys of data and budget that variants may have of their own
  std::vector<Variant> variants;
  static void describe(Schema<SweepFile>& schema);
};

/// One run of a sweep.
struct PlannedRun {
  std::string variant;
  int64_t seed = 0;
  std::string experiment;              // file
  std::vector<std::string> overrides;  // complete, with the seed
  std::string resolved;                // the experiment as TOML, every default written out

  /// Where the run goes, within the sweep's folder.
  std::filesystem::path folder() const;
};

/// Throws ConfigError with every mistake; paths are made relative to the file's folder.
SweepFile read_sweep(const std::filesystem::path& file);

/// Every run, variant by variant. Throws ConfigError where an experiment is wrong, and where two
/// variants differ in their data or budget (`[data]` and the length, batch and validation of
/// `[train]`) in a key that `differ` does not name.
std::vector<PlannedRun> plan_runs(const SweepFile& sweep, Registry& registry);

}  // namespace tessera::sweep
