#include "launcher/training/train_options.h"

#include "launcher/model/autocast.h"
#include "launcher/training/memory_limit.h"
#include "launcher/weights/patterns.h"

namespace tessera {

void OptimiserOptions::describe(Schema<OptimiserOptions>& schema) {
  schema
      .field("kind", &OptimiserOptions::kind,
             "adamw: decoupled weight decay; adam: decay as an L2 gradient; sgd: with momentum; "
             "adabelief: steps by how well the mean foresees the gradient, decoupled decay.")
      .one_of({"adamw", "adam", "sgd", "adabelief"});
  schema.field("lr", &OptimiserOptions::lr, "Learning rate before groups and schedule.")
      .at_least(0);
  schema
      .field("betas", &OptimiserOptions::betas,
             "Decay of the two running means (adamw, adam, adabelief).")
      .between(0, 1);
  schema
      .field("eps", &OptimiserOptions::eps,
             "Added to the denominator (adamw, adam) or to the variance (adabelief: 1e-16).")
      .more_than(0);
  schema.field("rectify", &OptimiserOptions::rectify,
               "Begin with momentum while the variance is young, as RAdam does (adabelief).");
  schema.field("momentum", &OptimiserOptions::momentum, "Momentum (sgd).").between(0, 1);
  schema.field("weight_decay", &OptimiserOptions::weight_decay, "Weight decay before groups.")
      .at_least(0);
  schema.validate([](const OptimiserOptions& options) {
    if (options.betas.size() != 2 || options.betas[0] >= 1 || options.betas[1] >= 1)
      throw ConfigError("betas: expected two numbers below 1, got " +
                        to_toml_value(schema_of<OptimiserOptions>().write(&options)) + ".");
  });
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
  schema.field("optional", &Group::optional,
               "Whether the group may match no parameter; an error otherwise.");
  schema.validate([](const Group& group) {
    compile_pattern(group.pattern, "pattern");
    if (group.lr && group.lr_factor)
      throw ConfigError("expected one of lr_factor and lr, got both. Keep one.");
  });
}

void ScheduleOptions::describe(Schema<ScheduleOptions>& schema) {
  using Schedule = ScheduleOptions;
  schema
      .field("kind", &Schedule::kind,
             "constant; step: times factor every drops[0]; multi_step: times factor at each of "
             "drops; cosine: from 1 to minimum_factor over the whole length.")
      .one_of({"constant", "step", "multi_step", "cosine"});
  schema
      .field("drops", &Schedule::drops,
             "Where the rate drops, in epochs where train.epochs is given, in iterations where "
             "train.iterations is.")
      .more_than(0);
  schema.field("factor", &Schedule::factor, "Factor of each drop.").between(0, 1);
  schema
      .field("warmup_iterations", &Schedule::warmup_iterations,
             "Iterations of linear warm-up from warmup_factor to 1, times the rest.")
      .at_least(0);
  schema.field("warmup_factor", &Schedule::warmup_factor, "Factor that warm-up begins at.")
      .between(0, 1);
  schema.field("minimum_factor", &Schedule::minimum_factor, "Factor that cosine ends at.")
      .between(0, 1);
  schema.validate([](const Schedule& schedule) {
    const size_t count = schedule.drops.size();
    if (schedule.kind == "step" && count != 1)
      throw ConfigError("drops: expected one number (the period) for kind = \"step\", got " +
                        std::to_string(count) + " numbers.");
    if (schedule.kind == "multi_step" && count == 0)
      throw ConfigError("drops: expected at least one number for kind = \"multi_step\", got none.");
    if ((schedule.kind == "constant" || schedule.kind == "cosine") && count != 0)
      throw ConfigError("drops: expected none for kind = \"" + schedule.kind + "\", got " +
                        std::to_string(count) + ". Set kind to \"multi_step\" or remove drops.");
    for (size_t i = 1; i < count; ++i)
      if (schedule.drops[i] <= schedule.drops[i - 1])
        throw ConfigError("drops: expected rising numbers, got " +
                          to_toml_value(schema_of<Schedule>().write(&schedule)) + ".");
  });
}

void TrainOptions::describe(Schema<TrainOptions>& schema) {
  schema.field("seed", &TrainOptions::seed, "Seed of weights, sampling and augmentation.")
      .at_least(0);
  schema
      .field("seeds", &TrainOptions::seeds,
             "Runs one after the other, with seed, seed + 1, ..., each in a folder seed-<n> of its "
             "own; mean and deviation of their scores are printed and kept.")
      .at_least(1);
  schema
      .field("epochs", &TrainOptions::epochs, "Length in passes over the data; or give iterations.")
      .at_least(1);
  schema
      .field("iterations", &TrainOptions::iterations, "Length in optimiser steps; or give epochs.")
      .at_least(1);
  schema
      .field("total_batch", &TrainOptions::total_batch,
             "Clips of one optimiser step, over all processes and accumulated parts.")
      .at_least(1);
  schema
      .field("accumulation", &TrainOptions::accumulation,
             "Equal parts that a step's batch is computed in, one after the other.")
      .at_least(1);
  schema.field("optimiser", &TrainOptions::optimiser, "How a step is made of gradients.");
  schema.field("groups", &TrainOptions::groups,
               "Parameters with a learning rate or weight decay of their own.");
  schema.field("schedule", &TrainOptions::schedule, "Factor on every learning rate over time.");
  schema
      .field("clip_gradients", &TrainOptions::clip_gradients,
             "Largest 2-norm of all gradients together; 0 does not clip.")
      .at_least(0);
  schema.field("frozen", &TrainOptions::frozen,
               "Regular expressions searched in canonical parameter names that take no gradient.");
  schema
      .field("checkpoint_every", &TrainOptions::checkpoint_every,
             "Iterations between checkpoints; the end always writes one.")
      .at_least(1);
  schema.field("keep_last", &TrainOptions::keep_last, "Checkpoints that are kept.").at_least(1);
  schema
      .field("log_every", &TrainOptions::log_every,
             "Iterations between lines of metrics.jsonl and of the progress display; the first and "
             "the last iteration have one, too.")
      .at_least(1);
  schema.field("tensorboard", &TrainOptions::tensorboard,
               "Also write what goes to metrics.jsonl for TensorBoard, in the run's folder.");
  schema
      .field("evaluate_every", &TrainOptions::evaluate_every,
             "Iterations between scores on data.validation, one at the end too; the weights of the "
             "best AP are kept. 0: none.")
      .at_least(0);
  schema
      .field("threads", &TrainOptions::threads,
             "CPU threads of operators. 0: as many as the affinity mask, the cgroup quota and "
             "OMP_NUM_THREADS allow; the ranks of a machine share them.")
      .at_least(0);
  schema.field("device", &TrainOptions::device, "auto: a GPU where there is one.")
      .one_of({"auto", "cpu", "cuda"});
  schema.field(
      "deterministic", &TrainOptions::deterministic,
      "Refuse operators that give other bits from run to run (needed for exact resuming on "
      "a GPU; slower).");
  schema
      .field("precision", &TrainOptions::precision,
             "Type of weights, gradients, losses and optimiser. float64 shows whether two ways of "
             "training differ by more than rounding; it takes several times as long.")
      .one_of({"float32", "float64"});
  schema
      .field("autocast", &TrainOptions::autocast,
             "bfloat16: products, convolutions and attention of the model in that type (torch's "
             "autocast); weights, gradients, losses and matching stay float32.")
      .one_of(autocast_names());
  schema.field("recompute", &TrainOptions::recompute,
               "Parts (backbone, encoder, decoder, masks) whose activations are computed again in "
               "backward instead of being kept: less memory, more time, the same gradients. "
               "decoder: only for decoders that can.");
  schema
      .field("mask_rows", &TrainOptions::mask_rows,
             "Instances whose masks are computed at a time where masks are recomputed; 0: all.")
      .at_least(0);
  schema.field(
      "memory", &TrainOptions::memory,
      "The most that a step may take, as \"11GB\": of a GPU's memory, or of main memory on "
      "a CPU (where a checkpoint's copy comes on top while it is written). Trial steps on "
      "the largest clip choose what is recomputed, the fastest way that fits, in place of "
      "recompute and mask_rows. Empty: no limit.");
  schema.field("distributed", &TrainOptions::distributed, "How several processes train as one.");
  schema.validate([](const TrainOptions& options) {
    if (options.epochs.has_value() == options.iterations.has_value())
      throw ConfigError(std::string("expected exactly one of epochs and iterations, got ") +
                        (options.epochs ? "both. Remove one." : "neither. Give one."));
    if (options.total_batch % options.accumulation != 0)
      throw ConfigError("accumulation: expected a divisor of total_batch (" +
                        std::to_string(options.total_batch) + "), got " +
                        std::to_string(options.accumulation) + ".");
    if (options.precision != "float32" && options.autocast != "none")
      throw ConfigError("autocast: expected none beside precision = \"" + options.precision +
                        "\", got \"" + options.autocast + "\". Remove one.");
    if (!options.memory.empty()) parse_memory_size(options.memory);
    if (!options.memory.empty() && (!options.recompute.empty() || options.mask_rows > 0))
      throw ConfigError(
          "memory: expected it or recompute and mask_rows, got both. Remove one: memory chooses "
          "the others.");
    for (const auto& pattern : options.frozen) compile_pattern(pattern, "frozen");
  });
}

}  // namespace tessera
