// Schemas of [train.optimiser], [[train.groups]], [train.schedule] and [train.ema].

#include "core/error.h"
#include "launcher/training/train_options.h"
#include "launcher/weights/patterns.h"

namespace tessera {

void OptimiserOptions::describe(Schema<OptimiserOptions>& schema) {
  schema.kind("kind", &OptimiserOptions::kind, "How a step is made of gradients.");
  schema.field("lr", &OptimiserOptions::lr, "Learning rate before groups and schedule.")
      .at_least(0);
  schema.field("weight_decay", &OptimiserOptions::weight_decay, "Weight decay before groups.")
      .at_least(0);
}

void ParameterGroupOptions::describe(Schema<ParameterGroupOptions>& schema) {
  using Group = ParameterGroupOptions;
  schema
      .field("pattern", &Group::pattern,
             "Regular expression searched in the canonical parameter names; the first group that "
             "matches a parameter takes it.")
      .required();
  schema.field("lr_factor", &Group::lr_factor, "Factor on train.optimiser.lr.").at_least(0);
  schema.field("lr", &Group::lr, "Learning rate instead of train.optimiser.lr.").at_least(0);
  schema
      .field("weight_decay", &Group::weight_decay,
             "Weight decay instead of train.optimiser.weight_decay.")
      .at_least(0);
  schema
      .field(
          "layer_decay", &Group::layer_decay,
          "Layer-wise decay d: the learning rate of layer i is times d^(num_layers - 1 - i). The "
          "pattern captures i in parentheses: 'blocks\\.(\\d+)\\.'.")
      .more_than(0);
  schema.field("num_layers", &Group::num_layers, "Layers that layer_decay counts, from 0.")
      .at_least(1);
  schema
      .field("layer", &Group::layer,
             "Layer of all parameters of the group, in place of a number in their names.")
      .at_least(0);
  schema.field("schedule", &Group::schedule, "One of train.schedules, in place of train.schedule.");
  schema.field("optional", &Group::optional,
               "Whether the group may match no parameter; an error otherwise.");
  schema.validate([](const Group& group) {
    const std::regex pattern = compile_pattern(group.pattern, "pattern");
    if (group.lr && group.lr_factor)
      throw ConfigError("expected one of lr_factor and lr, got both. Keep one.");
    if (group.layer_decay.has_value() != group.num_layers.has_value())
      throw ConfigError("expected layer_decay and num_layers together, got one of them.");
    if (group.layer && !group.layer_decay)
      throw ConfigError("layer: expected it beside layer_decay, got it alone.");
    if (group.layer && *group.layer >= *group.num_layers)
      throw ConfigError(
          "layer: expected a number below num_layers = " + std::to_string(*group.num_layers) +
          ", got " + std::to_string(*group.layer) + ".");
    if (group.layer_decay && !group.layer && pattern.mark_count() != 1)
      throw ConfigError(
          "pattern: expected one group in parentheses, which captures the number of the layer, "
          "got " +
          std::to_string(pattern.mark_count()) + " in '" + group.pattern +
          "'. Write others as (?:...), or set layer.");
  });
}

void ScheduleOptions::describe(Schema<ScheduleOptions>& schema) {
  using Schedule = ScheduleOptions;
  schema.kind("kind", &Schedule::kind, "How the rate falls.");
  schema
      .field("wait_iterations", &Schedule::wait_iterations,
             "Iterations with a learning rate of zero before the warm-up.")
      .at_least(0);
  schema
      .field("warmup_iterations", &Schedule::warmup_iterations,
             "Iterations of linear warm-up from warmup_factor to 1, times the rest.")
      .at_least(0);
  schema.field("warmup_factor", &Schedule::warmup_factor, "Factor that warm-up begins at.")
      .between(0, 1);
}

void EmaOptions::describe(Schema<EmaOptions>& schema) {
  schema
      .field("decay", &EmaOptions::decay,
             "Part of the average that a step leaves; the rest is the step's weights.")
      .between(0, 1);
  schema
      .field(
          "after", &EmaOptions::after,
          "Iterations before averaging begins; until then the average is the weights themselves.")
      .at_least(0);
  schema.validate([](const EmaOptions& options) {
    if (options.decay >= 1)
      throw ConfigError("decay: expected a number below 1, got 1: the average would never move.");
  });
}

}  // namespace tessera
