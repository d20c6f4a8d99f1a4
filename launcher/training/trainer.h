#pragma once

#include <c10/core/Device.h>

#include "launcher/data/clip_loader.h"
#include "launcher/experiment.h"
#include "launcher/training/training_loop.h"

namespace tessera {

/// Trains a composed model on clips: the loop of training_loop.h around model, criterion and
/// loader. Model and criterion must be on `device`, batches are moved there; the loader gives the
/// equal parts of a step and stands at the consumed samples of `settings.resume`.
/// Throws what run_training throws, and ConfigError where the experiment has no loss terms or its
/// clips have another length than the model works for.
TrainResult train(const Experiment& experiment, VisModel& model, Criterion& criterion,
                  data::ClipLoader& loader, const RunFolder& folder, const TrainSettings& settings,
                  at::Device device);

/// Clips of one part of a step: what the loader's batch size must be.
int64_t clips_per_part(const TrainOptions& options);

}  // namespace tessera
