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

namespace {

template <class Options>
void describe_rules(Schema<Options>& schema) {
  schema.field("key", &Options::key,
               "Table of a .pth or .pkl file that holds several (\"model\" beside \"model_ema\").");
  schema.field("prefix", &Options::prefix,
               "Only keys that begin with this are read, and it is cut off (\"model.\").");
  schema.field(
      "rename", &Options::rename,
      "Rules, applied in order, from the file's keys (prefix cut off) to the model's names.");
  schema.field(
      "ignore", &Options::ignore,
      "Regular expressions searched in the file's keys (prefix cut off) to drop on purpose.");
  schema.field("skip", &Options::skip,
               "Regular expressions searched in the model's names to leave freshly initialised.");
  schema.field("reset", &Options::reset,
               "Regular expressions searched in the model's names and in the file's after rename: "
               "both are left out, so that the part starts fresh although the file has it.");
  schema
      .field("names", &Options::names,
             "The names that the rules lead to: released (those that model.names gives), or "
             "composed (before model.names: backbone.*, encoder.*), the same for every system.")
      .one_of({"released", "composed"});
}

void check_patterns(const WeightRules& rules) {
  for (const auto& pattern : rules.ignore) compile_pattern(pattern, "ignore");
  for (const auto& pattern : rules.skip) compile_pattern(pattern, "skip");
  for (const auto& pattern : rules.reset) compile_pattern(pattern, "reset");
}

}  // namespace

void WeightFileOptions::describe(Schema<WeightFileOptions>& schema) {
  schema
      .field("path", &WeightFileOptions::path,
             "Weight file (safetensors, PyTorch's .pth, detectron2's .pkl).")
      .required();
  schema.field("rules", &WeightFileOptions::rules,
               "TOML file with a [weights], such as experiments/base/weights/swin.toml: its rules "
               "come first, then those stated here; names is that file's.");
  schema.field("replace", &WeightFileOptions::replace,
               "Take this file's tensors in place of those that earlier files give, too. "
               "Otherwise a tensor that two files give is an error.");
  describe_rules(schema);
  schema.validate([](const WeightFileOptions& options) { check_patterns(options); });
}

WeightRules WeightFileOptions::all_rules() const {
  if (rules.empty()) return *this;
  WeightRules all = read_weights_options(rules);
  if (!prefix.empty()) all.prefix = prefix;
  if (key) all.key = key;
  const auto append = [](auto& list, const auto& more) {
    list.insert(list.end(), more.begin(), more.end());
  };
  append(all.rename, rename);
  append(all.ignore, ignore);
  append(all.skip, skip);
  append(all.reset, reset);
  return all;
}

void WeightsOptions::describe(Schema<WeightsOptions>& schema) {
  schema.field("init", &WeightsOptions::init,
               "Weight file that the model starts from (safetensors, PyTorch's .pth, detectron2's "
               ".pkl); without it weights are random.");
  describe_rules(schema);
  schema.field(
      "starts_from", &WeightsOptions::starts_from,
      "Name of the weight file that the recipe begins with; training without any weights is "
      "an error then, unless from_scratch.");
  schema.field("from_scratch", &WeightsOptions::from_scratch,
               "Train without the weights of starts_from, and with frozen parts that no weights "
               "were loaded into.");
  schema.field("files", &WeightsOptions::files,
               "Several weight files in place of init, which together give every tensor; each has "
               "rules of its own.");
  schema.validate([](const WeightsOptions& options) {
    check_patterns(options);
    if (options.init && !options.files.empty())
      throw ConfigError("files: expected it or init, got both. Remove one.");
  });
}

WeightsOptions with_rules(const WeightsOptions& options, const WeightsOptions& table) {
  WeightsOptions result = table;
  if (result.prefix.empty()) result.prefix = options.prefix;
  if (!result.key) result.key = options.key;
  result.init = options.init;
  result.files = options.files;
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
