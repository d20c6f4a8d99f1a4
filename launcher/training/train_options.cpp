#include "launcher/training/train_options.h"

#include "launcher/model/autocast.h"
#include "launcher/training/memory_limit.h"
#include "launcher/training/schedule.h"
#include "launcher/weights/patterns.h"

namespace tessera {

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
  schema.field("schedules", &TrainOptions::schedules,
               "Further schedules, which groups name: [train.schedules.<name>].");
  schema.field("ema", &TrainOptions::ema,
               "Exponential moving average of the trained weights: what is validated, and "
               "ema.safetensors. Without this table there is none.");
  schema
      .field("clip_gradients", &TrainOptions::clip_gradients,
             "Largest 2-norm of all gradients together; 0 does not clip.")
      .at_least(0);
  schema.field("frozen", &TrainOptions::frozen,
               "Regular expressions searched in canonical parameter names that take no gradient.");
  schema.field(
      "frozen_parts", &TrainOptions::frozen_parts,
      "Parts that are not trained: backbone, encoder, or names of stages (segmenter is the "
      "first). No activation of theirs is kept for backward.");
  schema
      .field("frozen_mode", &TrainOptions::frozen_mode,
             "Mode of frozen_parts while the rest trains. eval: no dropout, statistics of norms "
             "stay. train: both as in trained parts.")
      .one_of({"eval", "train"});
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
      .field("patience", &TrainOptions::patience,
             "Validations in a row without a higher AP after which training ends; without it, "
             "training has its whole length.")
      .at_least(1);
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
    if (options.patience && options.evaluate_every == 0)
      throw ConfigError(
          "patience: expected it beside evaluate_every, got evaluate_every = 0. Set "
          "evaluate_every, or remove patience.");
    const Schedules schedules{options.schedule, options.schedules};
    for (size_t i = 0; i < options.groups.size(); ++i)
      if (options.groups[i].schedule)
        schedules.expect(*options.groups[i].schedule, "groups[" + std::to_string(i) + "].schedule");
    for (const auto& pattern : options.frozen) compile_pattern(pattern, "frozen");
  });
}

}  // namespace tessera
