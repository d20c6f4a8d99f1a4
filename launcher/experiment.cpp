#include "launcher/experiment.h"

#include "core/config/toml_reader.h"
#include "core/error.h"

namespace tessera {

void PluginsOptions::describe(Schema<PluginsOptions>& schema) {
  schema.field("path", &PluginsOptions::path,
               "Further folders with plugins, relative to the working folder.");
}

void Experiment::describe(Schema<Experiment>& schema) {
  schema.field("description", &Experiment::description, "What the experiment is, with its source.");
  schema.field("plugins", &Experiment::plugins, "Where plugins are.");
  schema.field("model", &Experiment::model, "The parts of the model.").required();
  schema.field("loss", &Experiment::loss, "Matcher and loss terms.");
  schema.field("auxiliaries", &Experiment::auxiliaries,
               "Networks trained beside the model, each with an optimiser of its own.");
  schema.field("data", &Experiment::data, "Clips: data sets, sampling, augmentation.");
  schema.field("train", &Experiment::train, "Optimiser, schedule, length of training.");
  schema.field("inference", &Experiment::inference, "Windows, selection of tracks, sizes.");
  schema.field("weights", &Experiment::weights, "Weights that the model starts from.");
}

ClipFacts Experiment::clip_facts() const {
  return {data.num_frames, data.num_categories};
}

VideoOptions Experiment::video_options() const {
  return {inference, data::resizing_of(data), data.normalise, data.num_categories};
}

namespace {

Experiment experiment_of(const ConfigNode& root, Registry& registry) {
  // Plugin folders must be known before the plugins' own options can be read.
  if (const ConfigNode* path = root.find_path("plugins.path"); path && path->is_array())
    for (const auto& entry : path->array())
      if (auto* folder = std::get_if<std::string>(&entry.value)) registry.add_search_path(*folder);
  Experiment experiment;
  ReadContext context(&registry);
  schema_of<Experiment>().read(&experiment, root, "", context);
  context.throw_if_failed();
  experiment.inference.expect_one_joiner();
  for (AuxiliaryOptions& auxiliary : experiment.auxiliaries)
    if (!auxiliary.schedule) auxiliary.schedule = experiment.train.schedule;
  return experiment;
}

}  // namespace

Experiment load_experiment(const std::filesystem::path& file,
                           const std::vector<std::string>& overrides, Registry& registry) {
  return experiment_of(read_experiment(file, overrides), registry);
}

std::string resolved_toml(const Experiment& experiment) {
  return to_toml(schema_of<Experiment>().write(&experiment));
}

std::string resolved_again(const std::string& resolved, Registry& registry) {
  try {
    return resolved_toml(experiment_of(parse_toml(resolved, "resolved.toml"), registry));
  } catch (const Error&) {
    return resolved;  // of parts that are not here: compared as it is
  }
}

}  // namespace tessera
