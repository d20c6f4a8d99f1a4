#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/losses/criterion.h"
#include "core/plugin/registry.h"
#include "launcher/data/data_options.h"
#include "launcher/inference/inference_options.h"
#include "launcher/inference/video_options.h"
#include "launcher/model/vis_model.h"
#include "launcher/training/auxiliary_options.h"
#include "launcher/training/train_options.h"
#include "launcher/weights/weights_options.h"

namespace tessera {

struct PluginsOptions {
  std::vector<std::string> path;
  static void describe(Schema<PluginsOptions>& schema);
};

/// A whole experiment, checked: what a TOML file means.
struct Experiment {
  std::string description;
  PluginsOptions plugins;
  ModelOptions model;
  CriterionOptions loss;
  std::vector<AuxiliaryOptions> auxiliaries;
  DataOptions data;
  TrainOptions train;
  InferenceOptions inference;
  WeightsOptions weights;

  static void describe(Schema<Experiment>& schema);
  ClipFacts clip_facts() const;
  /// What inference needs of it.
  VideoOptions video_options() const;
};

/// Reads, resolves and checks an experiment. Throws ConfigError or PluginError with every mistake.
Experiment load_experiment(const std::filesystem::path& file,
                           const std::vector<std::string>& overrides, Registry& registry);

/// The experiment with every default written out, as TOML: `resolved.toml`.
std::string resolved_toml(const Experiment& experiment);

/// What resolved_toml() makes today of a `resolved.toml` that another version wrote: new options
/// have their defaults, options without an effect are gone. The text itself where it cannot be read
/// (its plugins may be missing).
std::string resolved_again(const std::string& resolved, Registry& registry);

}  // namespace tessera
