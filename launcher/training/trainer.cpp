#include "launcher/training/trainer.h"

#include <set>

#include "core/error.h"
#include "launcher/training/clip_losses.h"
#include "launcher/training/validation.h"

namespace tessera {
namespace {

/// "video 3 'cat' frames 0 1 2 (sample 7); ..." for every clip of a batch.
std::string origin_of(const data::TrainingBatch& batch) {
  std::vector<std::string> clips;
  for (size_t i = 0; i < batch.batch.meta.size(); ++i) {
    const ClipMeta& meta = batch.batch.meta[i];
    std::vector<std::string> frames;
    for (const int64_t frame : meta.frame_indices) frames.push_back(std::to_string(frame));
    clips.push_back("video " + std::to_string(meta.video_id) + " '" + meta.video_name +
                    "' frames " + join(frames, " ") + " (sample " +
                    std::to_string(batch.sample_indices.at(i)) + ")");
  }
  return join(clips, "; ");
}

/// Nothing where there is one rank.
std::function<at::Tensor(const at::Tensor&)> mean_over(const Communicator* communicator) {
  if (!communicator || communicator->size() == 1) return {};
  return [communicator](const at::Tensor& x) { return communicator->mean(x); };
}

class ClipLossSource final : public LossSource {
 public:
  ClipLossSource(const Experiment& experiment, VisModel& model, Criterion& criterion,
                 const Auxiliaries& auxiliaries, data::ClipLoader& loader, at::Device device,
                 const Communicator* communicator)
      : losses_(experiment, model, criterion, auxiliaries, mean_over(communicator)),
        loader_(loader),
        device_(device) {}

  void fetch() override { batch_ = loader_.next(); }

  std::vector<uint64_t> random_key() const override {
    std::vector<uint64_t> key{static_cast<uint64_t>(batch_.epoch)};
    for (const int64_t sample : batch_.sample_indices) key.push_back(static_cast<uint64_t>(sample));
    return key;
  }

  PartialLoss compute() override {
    move_to(device_, batch_.batch, batch_.targets);
    PartialLoss loss = losses_.compute(batch_.batch, batch_.targets);
    loss.epoch = batch_.epoch;
    loss.num_samples = static_cast<int64_t>(batch_.sample_indices.size());
    return loss;
  }
  std::string origin() const override { return origin_of(batch_); }

 private:
  ClipLosses losses_;
  data::ClipLoader& loader_;
  at::Device device_;
  data::TrainingBatch batch_;
};

}  // namespace

int64_t clips_per_part(const TrainOptions& options, int64_t num_ranks) {
  const int64_t parts = options.accumulation * num_ranks;
  if (options.total_batch % parts != 0) {
    std::vector<std::string> fitting;
    for (int64_t ranks = 1; ranks * options.accumulation <= options.total_batch; ++ranks)
      if (options.total_batch % (ranks * options.accumulation) == 0)
        fitting.push_back(std::to_string(ranks));
    throw ConfigError("train.total_batch: expected a multiple of the " + std::to_string(num_ranks) +
                      " ranks times train.accumulation = " + std::to_string(options.accumulation) +
                      ", got " + std::to_string(options.total_batch) + ". Take " +
                      std::to_string((options.total_batch / parts + 1) * parts) +
                      ", or start one of these numbers of ranks: " + join(fitting) + ".");
  }
  return options.total_batch / parts;
}

std::vector<std::shared_ptr<Auxiliary>> make_auxiliaries(const Experiment& experiment,
                                                         const BuildContext& facts) {
  Auxiliaries auxiliaries;
  std::set<std::string> names;
  for (const AuxiliaryOptions& options : experiment.auxiliaries) {
    if (!names.insert(options.name).second)
      throw ConfigError("auxiliaries: expected names of their own, got '" + options.name +
                        "' twice.");
    auxiliaries.push_back(facts.make(options.network));
  }
  return auxiliaries;
}

TrainResult train(const Experiment& experiment, VisModel& model, Criterion& criterion,
                  const Auxiliaries& auxiliaries, data::ClipLoader& loader, const RunFolder& folder,
                  const TrainSettings& settings, at::Device device) {
  if (experiment.loss.terms.empty() && experiment.loss.features.empty())
    throw ConfigError(
        "loss: expected at least one of loss.terms and loss.features to train with, got none.");
  const int64_t fixed = model.needs().fixed_frames, frames = experiment.data.num_frames;
  if (fixed > 0 && fixed != frames)
    throw ConfigError("data.num_frames: expected " + std::to_string(fixed) +
                      ", which the model is built for, got " + std::to_string(frames) + ".");
  if (settings.resume && read_train_state(*settings.resume).consumed_samples != loader.position())
    throw RuntimeError(
        "train: expected a loader that goes on where the checkpoint ends, got one at "
        "sample " +
        std::to_string(loader.position()) + ".");
  model.train();
  criterion.train();
  TrainSettings complete = settings;
  for (size_t i = 0; i < auxiliaries.size(); ++i) {
    auxiliaries[i]->train();
    complete.auxiliaries.push_back(auxiliary_training(experiment.auxiliaries[i], *auxiliaries[i]));
  }
  ClipLossSource source(experiment, model, criterion, auxiliaries, loader, device,
                        settings.communicator);
  const std::vector<NamedTensor> tensors = tensors_to_train(model, criterion);
  if (experiment.train.evaluate_every == 0)
    return run_training(experiment.train, tensors, source, folder, complete);
  const Validation validation(experiment);
  // A validation may take longer than a step ever does: each video is progress.
  const auto on_video = [&settings] {
    if (settings.supervisor) settings.supervisor->note_progress();
  };
  complete.validate = [&] {
    const auto stats = validation.run(model, device, settings.communicator, on_video);
    model.train();
    return stats;
  };
  return run_training(experiment.train, tensors, source, folder, complete);
}

}  // namespace tessera
