#include "launcher/model/model_options.h"

#include <algorithm>
#include <regex>
#include <set>

#include "core/error.h"

namespace tessera {
namespace {

bool is_stage_name(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::islower(c) || std::isdigit(c) || c == '_';
  });
}

}  // namespace

void NameRule::describe(Schema<NameRule>& schema) {
  schema
      .field("from", &NameRule::from,
             "Regular expression on a tensor's name in the composed model.")
      .required();
  schema.field("to", &NameRule::to, "What replaces the match ($1 is the first group).").required();
  schema.validate([](const NameRule& rule) {
    try {
      std::regex check(rule.from);
    } catch (const std::regex_error& error) {
      throw ConfigError("from: expected a regular expression, got '" + rule.from + "' (" +
                        error.what() + ").");
    }
  });
}

void StageOptions::describe(Schema<StageOptions>& schema) {
  schema
      .field(
          "name", &StageOptions::name,
          "Name of the stage in the names of tensors and losses, and in other tables: lower-case "
          "letters, digits and underscores.")
      .required();
  schema
      .field("decoder", &StageOptions::decoder, "What earlier stages found to instance embeddings.")
      .required();
  schema.field("instance_head", &StageOptions::instance_head, "Embeddings to classes and boxes.")
      .required();
  schema.field("mask_head", &StageOptions::mask_head, "Embeddings and features to masks.")
      .required();
  schema.validate([](const StageOptions& stage) {
    if (!is_stage_name(stage.name))
      throw ConfigError("name: expected lower-case letters, digits and underscores, got '" +
                        stage.name + "'.");
    for (const char* taken : {kSegmenter, "backbone", "encoder"})
      if (stage.name == taken)
        throw ConfigError("name: expected another name than '" + stage.name +
                          "', which a part of [model] has. Choose one.");
  });
}

void ModelOptions::describe(Schema<ModelOptions>& schema) {
  schema.field("backbone", &ModelOptions::backbone, "Frames to feature pyramid.").required();
  schema.field("encoder", &ModelOptions::encoder, "Feature pyramid to memory.").required();
  schema
      .field("decoder", &ModelOptions::decoder, "Memory and object queries to instance embeddings.")
      .required();
  schema.field("instance_head", &ModelOptions::instance_head, "Embeddings to classes and boxes.")
      .required();
  schema.field("mask_head", &ModelOptions::mask_head, "Embeddings and features to masks.")
      .required();
  schema
      .field("frames", &ModelOptions::frames,
             "together: the encoder and the first stage see clips; apart: they see each frame as a "
             "clip of its own, and further stages see clips.")
      .one_of({"together", "apart"});
  schema.field(
      "stages", &ModelOptions::stages,
      "Further stages, in order, after the decoder and the heads of [model], which are the "
      "stage \"segmenter\".");
  schema.field(
      "names", &ModelOptions::names,
      "Rules, applied in order, from the composed model's tensor names to those of weight files.");
  schema.validate([](const ModelOptions& options) {
    std::set<std::string> names;
    for (const StageOptions& stage : options.stages)
      if (!names.insert(stage.name).second)
        throw ConfigError("stages: expected a name of its own for each stage, got '" + stage.name +
                          "' twice.");
  });
}

}  // namespace tessera
