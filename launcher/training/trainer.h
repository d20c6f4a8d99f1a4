#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <vector>

#include "launcher/data/clip_loader.h"
#include "launcher/experiment.h"
#include "launcher/training/training_loop.h"

namespace tessera {

/// Trains a composed model on clips: the loop of training_loop.h around model, criterion and
/// loader. Model, criterion and auxiliary networks must be on `device`, batches are moved there;
/// the loader gives a rank's whole batch of a step and stands at the consumed samples of
/// `settings.resume`. Throws what run_training throws, and ConfigError where the experiment has no
/// loss terms or its clips have another length than the model works for.
TrainResult train(const Experiment& experiment, VisModel& model, Criterion& criterion,
                  const std::vector<std::shared_ptr<Auxiliary>>& auxiliaries,
                  data::ClipLoader& loader, const RunFolder& folder, const TrainSettings& settings,
                  at::Device device);

/// Makes the experiment's auxiliary networks.
std::vector<std::shared_ptr<Auxiliary>> make_auxiliaries(const Experiment& experiment,
                                                         const BuildContext& facts);

/// Throws ConfigError if the experiment has no loss terms or its clips have another length than the
/// model works for.
void expect_trainable(const Experiment& experiment, const VisModel& model);

/// Clips of one part of a step on one rank; the loader gives train.accumulation times as many.
/// Throws ConfigError where the ranks cannot share train.total_batch evenly.
int64_t clips_per_part(const TrainOptions& options, int64_t num_ranks);

}  // namespace tessera
