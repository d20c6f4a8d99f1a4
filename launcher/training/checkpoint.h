#pragma once

#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "launcher/training/optimiser.h"
#include "launcher/training/run_folder.h"
#include "launcher/training/weight_average.h"

namespace tessera {

/// Where a run stands. There is no state of random generators in it: every part of a step seeds
/// them with (seed, epoch, samples), see training_loop.cpp, so the position is all there is to
/// know.
struct TrainState {
  int64_t iteration = 0;         // optimiser steps done
  int64_t consumed_samples = 0;  // clips trained on
  int64_t seed = 0;
  std::optional<double> best;  // best validation score so far
  std::string experiment;      // resolved.toml of the run
  std::string categories;      // of the training data, as categories.h writes them; may be ""
  int64_t validations_since_best = 0;  // validations in a row whose score was not the best
};

/// Optimisers by the name of what they train: "" is the model, others are auxiliary networks.
using NamedOptimisers = std::vector<std::pair<std::string, Optimiser*>>;

/// Everything that a checkpoint holds, independent of the training that goes on.
struct Snapshot {
  int64_t iteration = 0;
  TensorList tensors;  // "model.<name>", "optimiser.<slot>.<name>",
                       // "auxiliary.<network>.optimiser.<slot>.<name>", "ema.<name>", on the CPU
  TensorMetadata metadata;
};

/// Copies a run's state to memory of its own. `average` may be null.
Snapshot take_snapshot(const TrainState& state, const std::vector<NamedTensor>& model,
                       const NamedOptimisers& optimisers, const WeightAverage* average = nullptr);

/// Writes `last.safetensors` (weights only, canonical names), `ema.safetensors` where there are
/// averaged weights (with the model's own tensors where a tensor has no average), then
/// `checkpoint-<iteration>.safetensors` (with the state as metadata and a checksum over all of it).
/// Each file appears whole or not at all. Keeps the newest `keep_last` checkpoints. Returns the
/// checkpoint's path. Throws RuntimeError.
std::filesystem::path write_checkpoint(const RunFolder& folder, Snapshot snapshot,
                                       int64_t keep_last);

/// Both, at once.
std::filesystem::path save_checkpoint(const RunFolder& folder, const TrainState& state,
                                      const std::vector<NamedTensor>& model, Optimiser& optimiser,
                                      int64_t keep_last);

/// The state of a checkpoint, without its tensors. Throws DataError where the file is no whole
/// checkpoint.
TrainState read_train_state(const std::filesystem::path& file);

/// Puts a checkpoint into the model and the optimisers. Throws DataError naming the file where it
/// is cut short, damaged, no checkpoint, or of another model. `average`, where there is one, takes
/// over the checkpoint's, or begins with the checkpoint's weights if it has none (a run that was
/// resumed with averaging switched on).
TrainState load_checkpoint(const std::filesystem::path& file, const std::vector<NamedTensor>& model,
                           const NamedOptimisers& optimisers, WeightAverage* average = nullptr);
TrainState load_checkpoint(const std::filesystem::path& file, const std::vector<NamedTensor>& model,
                           Optimiser& optimiser);

/// What `--resume` means: "" nothing, "auto" the newest whole checkpoint of the folder or nothing,
/// else a checkpoint's path. Damaged ones that "auto" comes by are named on `notes` and put aside.
/// Throws DataError where a path does not exist, or where every checkpoint of the folder is
/// damaged.
std::optional<std::filesystem::path> find_checkpoint(const RunFolder& folder,
                                                     const std::string& resume,
                                                     std::ostream& notes);

/// "key: value then, value now" for every key of two resolved.toml texts that differs and that a
/// continued run must not change (its length, logging, threads and device may).
std::vector<std::string> experiment_differences(const std::string& then, const std::string& now);

}  // namespace tessera
