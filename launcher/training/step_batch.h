#pragma once

#include <functional>
#include <vector>

#include "launcher/data/clip_loader.h"
#include "launcher/distributed/communicator.h"
#include "launcher/training/clip_losses.h"

namespace tessera {

/// A step's batch of one rank, cut into `num_parts` equal parts that are trained one after the
/// other. All parts keep the padded size of the whole. Views of it.
std::vector<data::TrainingBatch> cut_into_parts(const data::TrainingBatch& batch,
                                                int64_t num_parts);

/// What the losses of a step are normalised by, so that the mean of its parts' losses is the loss
/// of the whole batch, however it is cut into parts and spread over ranks. Most of it follows from
/// the ground truth; the rest is found by forward passes of all parts before the first is trained.
class BatchNormaliser {
 public:
  /// `communicator` may be null: one process. All are used, not owned.
  BatchNormaliser(const ClipLosses& losses, const VisModel& model, const Criterion& criterion,
                  const Communicator* communicator);

  /// For a new step. `move` brings a part to the model's device, `seed` makes a forward pass draw
  /// what compute() of that part will, `progress` is the step's. Every rank calls it with the same
  /// number of parts.
  void prepare(const std::vector<data::TrainingBatch>& parts,
               const std::function<void(data::TrainingBatch&)>& move,
               const std::function<void(int64_t part)>& seed, double progress = 0);

  /// For the next part to be computed.
  const WholeBatch& next_part();

 private:
  at::Tensor mean_over_ranks(const at::Tensor& value) const;
  void count(const std::vector<data::TrainingBatch>& parts);
  /// Sums over this rank's parts become means over all parts of all ranks.
  void divide(const std::vector<BatchCounts*>& all, double num_parts) const;
  void run_all(const std::vector<data::TrainingBatch>& parts,
               const std::function<void(data::TrainingBatch&)>& move,
               const std::function<void(int64_t part)>& seed, double progress);

  const ClipLosses& losses_;
  const VisModel& model_;
  const Criterion& criterion_;
  const Communicator* communicator_;
  WholeBatch whole_;
  std::vector<at::Tensor> means_;  // in the order in which the criterion asks for them
  size_t next_mean_ = 0;
};

}  // namespace tessera
