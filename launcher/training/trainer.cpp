#include "launcher/training/trainer.h"

#include "core/error.h"
#include "launcher/training/validation.h"

namespace tessera {
namespace {

void move_to(at::Device device, data::TrainingBatch& batch) {
  batch.batch.frames = batch.batch.frames.to(device);
  batch.batch.padding_mask = batch.batch.padding_mask.to(device);
  for (ClipTargets& targets : batch.targets)
    for (at::Tensor* tensor : {&targets.labels, &targets.boxes, &targets.masks, &targets.valid})
      *tensor = tensor->to(device);
}

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
  ClipLossSource(VisModel& model, Criterion& criterion, data::ClipLoader& loader, at::Device device)
      : model_(model), criterion_(criterion), loader_(loader), device_(device) {}

  void fetch() override { batch_ = loader_.next(); }

  PartialLoss compute() override {
    move_to(device_, batch_);
    const ForwardContext context;
    const VisModel::Output output = model_.forward(batch_.batch, context);
    CriterionResult result =
        criterion_.forward(output.memory, output.predictions, batch_.targets, context);
    return {std::move(result.total), std::move(result.terms), batch_.epoch,
            static_cast<int64_t>(batch_.sample_indices.size())};
  }
  std::string origin() const override { return origin_of(batch_); }

 private:
  VisModel& model_;
  Criterion& criterion_;
  data::ClipLoader& loader_;
  at::Device device_;
  data::TrainingBatch batch_;
};

}  // namespace

int64_t clips_per_part(const TrainOptions& options) {
  return options.total_batch / options.accumulation;
}

TrainResult train(const Experiment& experiment, VisModel& model, Criterion& criterion,
                  data::ClipLoader& loader, const RunFolder& folder, const TrainSettings& settings,
                  at::Device device) {
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
  ClipLossSource source(model, criterion, loader, device);
  std::vector<NamedTensor> tensors = model.named_tensors();
  for (const auto& item : criterion.named_parameters())
    tensors.push_back({std::string(kTrainingOnly) + item.key(), item.value(), true});
  if (experiment.train.evaluate_every == 0)
    return run_training(experiment.train, tensors, source, folder, settings);
  const Validation validation(experiment);
  TrainSettings validated = settings;
  validated.validate = [&] {
    const auto stats = validation.run(model, device);
    model.train();
    return stats;
  };
  return run_training(experiment.train, tensors, source, folder, validated);
}

}  // namespace tessera
