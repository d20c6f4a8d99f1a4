#include "launcher/weights/weights_options.h"

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
  schema.validate([](const WeightsOptions& options) {
    for (const auto& pattern : options.ignore) compile_pattern(pattern, "ignore");
    for (const auto& pattern : options.skip) compile_pattern(pattern, "skip");
  });
}

}  // namespace tessera
