#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "core/interfaces/auxiliary.h"
#include "launcher/distributed/communicator.h"
#include "launcher/distributed/supervisor.h"
#include "launcher/evaluation/score.h"
#include "launcher/training/checkpoint.h"
#include "launcher/training/train_options.h"

namespace tessera {

class EventLog;

/// A network that is trained beside the model, see Auxiliary.
struct AuxiliaryTraining {
  std::string name;
  std::vector<NamedTensor> tensors;  // "auxiliary.<name>.<tensor>"
  OptimiserOptions optimiser;
  ScheduleOptions schedule;
  double clip_gradients = 0.0;
};

/// What one part of a step's batch gave.
struct PartialLoss {
  at::Tensor total;  // scalar with a graph
  std::vector<NamedLoss> terms;
  int64_t epoch = 0;                              // of its first clip
  int64_t num_samples = 0;                        // clips in it
  std::vector<at::Tensor> auxiliary_totals = {};  // of each auxiliary network, its own losses
};

/// Gives the losses that the loop minimises. A step calls fetch() and prepare() once, then
/// compute() for each of its `train.accumulation` parts in turn.
class LossSource {
 public:
  virtual ~LossSource() = default;
  /// The part of the schedule that was done before the next step, 0..1; known to all its forward
  /// passes. Called before fetch().
  virtual void set_progress(double) {}
  /// Waits for the clips of the next step.
  virtual void fetch() = 0;
  /// A part of what was fetched, as numbers (epoch, samples): every random draw of compute()
  /// depends on the run's seed and these alone, whatever rank and part they fall to.
  virtual std::vector<uint64_t> random_key(int64_t part) const = 0;
  /// Learns what the losses of the step are normalised by. If that takes forward passes, it calls
  /// `seed` before that of each part, so that they draw what compute() will.
  virtual void prepare(const std::function<void(int64_t part)>& seed) = 0;
  /// Forward pass and criterion of a part of what was fetched. The mean over all parts of all ranks
  /// is the loss of the whole batch.
  virtual PartialLoss compute(int64_t part) = 0;
  /// Videos, frames and sample indices of a part of what was fetched, for an error.
  virtual std::string origin(int64_t part) const = 0;
};

/// Seconds of one step on one rank.
struct StepTimes {
  double data = 0;      // waiting for clips
  double forward = 0;   // criterion included
  double backward = 0;  // averaging of gradients included
  double exposed = 0;   // of these, waiting for other ranks when the own gradients were ready
  double optimiser = 0;
  double total = 0;
  std::vector<int64_t> bucket_bytes{};  // of gradients, in the order sent; none in one process
};

/// How a run is run; everything that changes its results stands in TrainOptions.
struct TrainSettings {
  std::optional<std::filesystem::path> resume;  // checkpoint to go on from
  std::optional<int64_t>
      stop_at;                   // end there, with a checkpoint; the schedule stays the whole run's
  double samples_per_epoch = 0;  // clips
  std::string experiment;        // resolved.toml, kept in checkpoints
  std::string categories;        // of the training data, as categories.h writes them; may be ""
  std::ostream* progress = nullptr;  // null shows nothing
  bool terminal = false;             // whether `progress` can rewrite a line
  std::function<bool()> stop_requested = [] { return false; };  // asked after every step
  /// Scores the model as it is, the number that "best" means first; asked every
  /// `train.evaluate_every` steps and after the last. Null: never.
  std::function<std::vector<evaluation::Stat>()> validate;
  std::vector<AuxiliaryTraining> auxiliaries;
  const Communicator* communicator = nullptr;  // null: one process
  Supervisor* supervisor = nullptr;            // told what this rank does; may be null
  EventLog* log = nullptr;  // told what `progress` shows, and of checkpoints; may be null
  bool profile = false;     // every rank writes its StepTimes to a profile of its own
};

struct TrainResult {
  int64_t iteration = 0;             // steps done
  std::optional<double> last_loss;   // of the last step, none where no step was left to do
  bool preempted = false;            // stopped because it was asked to
  std::filesystem::path checkpoint;  // of `iteration`
  std::optional<double> best;        // validation score of the best weights, where there is one
  bool stopped_early = false;        // because the score did not rise, train.patience
};

/// Trains `model`'s parameters on `source`: zero gradients, forward, backward, clip, step, log,
/// checkpoint; auxiliary networks likewise on their own losses. Several ranks train as one process
/// with the whole batch would; rank 0 alone writes. With `settings.resume`, `source` must begin at
/// that checkpoint's consumed samples. Throws RuntimeError for a loss or gradient that is not
/// finite (with every term and the batch; the last checkpoint stays) and for what cannot be
/// written; ConfigError for options that do not fit the model or the checkpoint.
TrainResult run_training(const TrainOptions& options, const std::vector<NamedTensor>& model,
                         LossSource& source, const RunFolder& folder,
                         const TrainSettings& settings);

}  // namespace tessera
