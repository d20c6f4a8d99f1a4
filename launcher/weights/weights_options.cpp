#include "launcher/weights/weights_options.h"

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "launcher/weights/patterns.h"

namespace tessera {

void RenameRule::describe(Schema<RenameRule>& schema) {
  schema.field("from", &RenameRule::from, "Regular expression searched in a key of the file.")
      .required();
  schema.field("to", &RenameRule::to, "What replaces every match ($1 is the first group).")
      .required();
  schema.validate([](const RenameRule& rule) { compile_pattern(rule.from, "from"); });
}

void WeightsOptions::describe(Schema<WeightsOptions>& schema) {
  schema.field("init", &WeightsOptions::init,
               "Weight file that the model starts from (safetensors, PyTorch's .pth, detectron2's "
               ".pkl); without it weights are random.");
  schema.field("key", &WeightsOptions::key,
               "Table of a .pth or .pkl file that holds several (\"model\" beside \"model_ema\").");
  schema.field("prefix", &WeightsOptions::prefix,
               "Only keys that begin with this are read, and it is cut off (\"model.\").");
  schema.field(
      "rename", &WeightsOptions::rename,
      "Rules, applied in order, from the file's keys (prefix cut off) to the model's names.");
  schema.field(
      "ignore", &WeightsOptions::ignore,
      "Regular expressions searched in the file's keys (prefix cut off) to drop on purpose.");
  schema.field("skip", &WeightsOptions::skip,
               "Regular expressions searched in the model's names to leave freshly initialised.");
  schema.field("reset", &WeightsOptions::reset,
               "Regular expressions searched in the model's names and in the file's after rename: "
               "both are left out, so that the part starts fresh although the file has it.");
  schema
      .field("names", &WeightsOptions::names,
             "The names that the rules lead to: released (those that model.names gives), or "
             "composed (before model.names: backbone.*, encoder.*), the same for every system.")
      .one_of({"released", "composed"});
  schema.field(
      "starts_from", &WeightsOptions::starts_from,
      "Name of the weight file that the recipe begins with; training without any weights is "
      "an error then, unless from_scratch.");
  schema.field("from_scratch", &WeightsOptions::from_scratch,
               "Train without the weights of starts_from, and with frozen parts that no weights "
               "were loaded into.");
  schema.validate([](const WeightsOptions& options) {
    for (const auto& pattern : options.ignore) compile_pattern(pattern, "ignore");
    for (const auto& pattern : options.skip) compile_pattern(pattern, "skip");
    for (const auto& pattern : options.reset) compile_pattern(pattern, "reset");
  });
}

WeightsOptions with_rules(const WeightsOptions& options, const WeightsOptions& table) {
  WeightsOptions result = table;
  if (result.prefix.empty()) result.prefix = options.prefix;
  if (!result.key) result.key = options.key;
  result.init = options.init;
  result.starts_from = options.starts_from;
  result.from_scratch = options.from_scratch;
  return result;
}

WeightsOptions read_weights_options(const std::filesystem::path& file) {
  const ConfigNode root = read_experiment(file);
  const ConfigNode* weights = root.find("weights");
  if (weights == nullptr)
    throw ConfigError(file.string() +
                      ": weights: expected a table [weights] with rules, got none.");
  WeightsOptions options;
  ReadContext context(nullptr);
  schema_of<WeightsOptions>().read(&options, *weights, "weights", context);
  context.throw_if_failed();
  return options;
}

}  // namespace tessera
