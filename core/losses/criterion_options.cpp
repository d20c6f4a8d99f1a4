#include "core/losses/criterion_options.h"

#include "core/error.h"

namespace tessera {

void FurtherStageLossOptions::describe(Schema<FurtherStageLossOptions>& schema) {
  using Options = FurtherStageLossOptions;
  describe_stage(schema);
  schema.field("guide", &Options::guide,
               "Earlier stage on whose last predictions this one is matched at first: a row's "
               "instance is that of the row of the guide which it continues.");
  schema
      .field("guide_until", &Options::guide_until,
             "Part of the training in which the guide matches; afterwards the stage's own "
             "predictions do.")
      .between(0, 1);
  schema.validate([](const Options& options) {
    if (options.guide.empty() != (options.guide_until == 0))
      throw ConfigError(
          "guide_until: expected a guide and a part of the training above 0, or neither, got "
          "guide = \"" +
          options.guide + "\" and guide_until = " + std::to_string(options.guide_until) + ".");
  });
}

void CriterionOptions::describe(Schema<CriterionOptions>& schema) {
  describe_stage(schema);
  schema.field("features", &CriterionOptions::features,
               "Losses on the memory by the name that logs show.");
  schema.field("stages", &CriterionOptions::stages,
               "What further stages of the model are trained with, by their names.");
}

}  // namespace tessera
