#include "launcher/training/trainer.h"

#include <set>

#include "core/error.h"
#include "launcher/training/clip_losses.h"
#include "launcher/training/optimiser.h"
#include "launcher/training/step_batch.h"
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

class ClipLossSource final : public LossSource {
 public:
  ClipLossSource(const Experiment& experiment, VisModel& model, Criterion& criterion,
                 const Auxiliaries& auxiliaries, data::ClipLoader& loader, at::Device device,
                 const Communicator* communicator)
      : losses_(experiment, model, criterion, auxiliaries),
        normaliser_(losses_, model, criterion, communicator),
        num_parts_(experiment.train.accumulation),
        loader_(loader),
        device_(device),
        type_(training_type(experiment.train)) {}

  void set_progress(double progress) override { progress_ = progress; }

  void fetch() override {
    parts_.clear();
    parts_ = cut_into_parts(loader_.next(), num_parts_);
  }

  std::vector<uint64_t> random_key(int64_t part) const override {
    std::vector<uint64_t> key{static_cast<uint64_t>(part_at(part).epoch)};
    for (const int64_t sample : part_at(part).sample_indices)
      key.push_back(static_cast<uint64_t>(sample));
    return key;
  }

  void prepare(const std::function<void(int64_t part)>& seed) override {
    normaliser_.prepare(
        parts_,
        [this](data::TrainingBatch& part) { move_to(device_, type_, part.batch, part.targets); },
        seed, progress_);
  }

  PartialLoss compute(int64_t part) override {
    data::TrainingBatch& batch = parts_.at(static_cast<size_t>(part));
    move_to(device_, type_, batch.batch, batch.targets);
    PartialLoss loss =
        losses_.compute(batch.batch, batch.targets, normaliser_.next_part(), progress_);
    loss.epoch = batch.epoch;
    loss.num_samples = static_cast<int64_t>(batch.sample_indices.size());
    batch.batch.frames = batch.batch.padding_mask = at::Tensor();  // not needed again
    return loss;
  }
  std::string origin(int64_t part) const override { return origin_of(part_at(part)); }

 private:
  const data::TrainingBatch& part_at(int64_t part) const {
    return parts_.at(static_cast<size_t>(part));
  }

  ClipLosses losses_;
  BatchNormaliser normaliser_;
  int64_t num_parts_;
  data::ClipLoader& loader_;
  at::Device device_;
  at::ScalarType type_;
  double progress_ = 0;
  std::vector<data::TrainingBatch> parts_;
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

void expect_trainable(const Experiment& experiment, const VisModel& model) {
  bool has_terms = !experiment.loss.terms.empty() || !experiment.loss.features.empty();
  for (const auto& [name, stage] : experiment.loss.stages)
    has_terms = has_terms || !stage.terms.empty();
  if (!has_terms)
    throw ConfigError(
        "loss: expected at least one of loss.terms, loss.features and loss.stages.<name>.terms to "
        "train with, got none.");
  if (!experiment.auxiliaries.empty() &&
      (model.num_stages() > 1 || (model.num_stages() == 1 && model.stage_spec(0).piece_frames > 0)))
    throw ConfigError(
        "auxiliaries: expected a model of one stage that predicts for whole clips, got one with "
        "further stages or with pieces. Remove the auxiliary networks.");
  const int64_t fixed = model.needs().fixed_frames, frames = experiment.data.num_frames;
  if (fixed > 0 && fixed != frames)
    throw ConfigError("data.num_frames: expected " + std::to_string(fixed) +
                      ", which the model is built for, got " + std::to_string(frames) + ".");
}

TrainResult train(const Experiment& experiment, VisModel& model, Criterion& criterion,
                  const Auxiliaries& auxiliaries, data::ClipLoader& loader, const RunFolder& folder,
                  const TrainSettings& settings, at::Device device) {
  expect_trainable(experiment, model);
  if (settings.resume && read_train_state(*settings.resume).consumed_samples != loader.position())
    throw RuntimeError(
        "train: expected a loader that goes on where the checkpoint ends, got one at "
        "sample " +
        std::to_string(loader.position()) + ".");
  freeze_parts(model, experiment.train);
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
