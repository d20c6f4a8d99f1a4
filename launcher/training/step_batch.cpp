#include "launcher/training/step_batch.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>

#include "core/error.h"
#include "launcher/training/kept_buffers.h"

namespace tessera {

std::vector<data::TrainingBatch> cut_into_parts(const data::TrainingBatch& batch,
                                                int64_t num_parts) {
  const auto clips = static_cast<int64_t>(batch.targets.size());
  if (num_parts < 1 || clips % num_parts != 0)
    throw RuntimeError("training step: expected a batch of " + std::to_string(num_parts) +
                       " equal parts, got " + std::to_string(clips) + " clips.");
  const int64_t size = clips / num_parts;
  std::vector<data::TrainingBatch> parts;
  for (int64_t first = 0; first < clips; first += size) {
    const auto cut = [&](const auto& all) {
      return std::decay_t<decltype(all)>(all.begin() + first, all.begin() + first + size);
    };
    data::TrainingBatch part;
    part.batch = batch.batch;
    part.batch.frames = batch.batch.frames.narrow(0, first, size);
    part.batch.padding_mask = batch.batch.padding_mask.narrow(0, first, size);
    part.batch.meta = cut(batch.batch.meta);
    part.targets = cut(batch.targets);
    part.epoch = batch.epoch;
    part.sample_indices = cut(batch.sample_indices);
    parts.push_back(std::move(part));
  }
  return parts;
}

BatchNormaliser::BatchNormaliser(const ClipLosses& losses, const VisModel& model,
                                 const Criterion& criterion, const Communicator* communicator)
    : losses_(losses),
      model_(model),
      criterion_(criterion),
      communicator_(communicator && communicator->size() > 1 ? communicator : nullptr) {
  if (communicator_)
    whole_.gather_over_ranks = [this](const at::Tensor& rows) {
      return communicator_->gather_rows(rows);
    };
}

at::Tensor BatchNormaliser::mean_over_ranks(const at::Tensor& value) const {
  return communicator_ ? communicator_->mean(value) : value;
}

void BatchNormaliser::prepare(const std::vector<data::TrainingBatch>& parts,
                              const std::function<void(data::TrainingBatch&)>& move,
                              const std::function<void(int64_t part)>& seed, double progress) {
  count(parts);
  means_.clear();
  if (parts.size() == 1) {
    whole_.mean = [this](const at::Tensor& value) { return mean_over_ranks(value); };
    return;
  }
  if (criterion_.needs_predictions_of_batch(whole_)) run_all(parts, move, seed, progress);
  whole_.mean = [this](const at::Tensor&) {
    if (next_mean_ >= means_.size())
      throw RuntimeError(
          "train.accumulation: expected losses whose normalisers are known before the batch's "
          "parts are trained, got one that asks for a sum over the batch without having said so. "
          "Override batch_sum() of the loss, or set train.accumulation = 1.");
    return means_[next_mean_++];
  };
}

const WholeBatch& BatchNormaliser::next_part() {
  next_mean_ = 0;
  return whole_;
}

void BatchNormaliser::count(const std::vector<data::TrainingBatch>& parts) {
  whole_.counts = {};
  whole_.stages.clear();
  for (const data::TrainingBatch& part : parts) {
    whole_.counts += BatchCounts::of(part.targets);
    const auto of_stages = criterion_.counts_of(part.targets);
    whole_.stages.resize(of_stages.size());
    for (size_t stage = 0; stage < of_stages.size(); ++stage) {
      whole_.stages[stage].resize(of_stages[stage].size());
      for (size_t i = 0; i < of_stages[stage].size(); ++i)
        whole_.stages[stage][i] += of_stages[stage][i];
    }
  }
  std::vector<BatchCounts*> all{&whole_.counts};
  for (auto& stage : whole_.stages)
    for (BatchCounts& counts : stage) all.push_back(&counts);
  divide(all, static_cast<double>(parts.size()));
  whole_.pieces = static_cast<int64_t>(parts.size()) * (communicator_ ? communicator_->size() : 1);
}

void BatchNormaliser::divide(const std::vector<BatchCounts*>& all, double num_parts) const {
  std::vector<double> sums;
  for (const BatchCounts* counts : all)
    sums.insert(sums.end(), {counts->clips, counts->clips_with_instances, counts->instances,
                             counts->instance_frames, counts->valid_frames});
  const at::Tensor mean = mean_over_ranks(at::tensor(sums, at::kDouble) / num_parts);
  const auto* number = mean.const_data_ptr<double>();
  for (BatchCounts* counts : all) {
    for (double* to : {&counts->clips, &counts->clips_with_instances, &counts->instances,
                       &counts->instance_frames, &counts->valid_frames})
      *to = *number++;
    if (communicator_) counts->most_instances = communicator_->maximum(counts->most_instances);
  }
}

void BatchNormaliser::run_all(const std::vector<data::TrainingBatch>& parts,
                              const std::function<void(data::TrainingBatch&)>& move,
                              const std::function<void(int64_t part)>& seed, double progress) {
  KeptBuffers buffers;
  buffers.add(tensors_to_train(model_, criterion_));
  for (size_t part = 0; part < parts.size(); ++part) {
    data::TrainingBatch moved = parts[part];
    move(moved);
    size_t place = 0;
    whole_.mean = [&](const at::Tensor& value) {
      if (part == 0) {
        means_.push_back(value.detach().clone());
      } else if (place < means_.size()) {
        means_[place] += value.detach();
      }
      ++place;
      return value;
    };
    seed(static_cast<int64_t>(part));
    losses_.run_criterion(moved.batch, moved.targets, whole_, progress);
    if (place != means_.size())
      throw RuntimeError(
          "training step: expected losses that ask for as many sums in every part, "
          "got " +
          std::to_string(means_.size()) + " and " + std::to_string(place) + ".");
  }
  for (at::Tensor& mean : means_) mean = mean_over_ranks(mean / static_cast<double>(parts.size()));
}

}  // namespace tessera
