#include "launcher/inference/whole_video.h"

#include <ATen/ATen.h>

#include <limits>
#include <utility>

#include "launcher/inference/stage_outputs.h"
#include "launcher/inference/structures.h"

namespace tessera {
namespace {

/// A tensor of `frames` frames and of no memory of its own, for a stage that states that it does
/// not read it: whoever does so gets NaN.
at::Tensor unread(const at::Tensor& part, Leading leading, int64_t frames, at::Device device) {
  std::vector<int64_t> sizes = part.sizes().vec();
  if (leading == Leading::frames) sizes[1] = frames;
  const at::TensorOptions options = part.options().device(device);
  const at::Tensor value = part.is_floating_point()
                               ? at::full({}, std::numeric_limits<double>::quiet_NaN(), options)
                               : at::zeros({}, options);
  return value.expand(sizes);
}

/// The structure of all frames: joined, or with tensors that are not to be read.
template <class Structure, class Get>
Structure of_all_frames(size_t num_parts, const Get& get, bool is_read, int64_t frames,
                        at::Device device) {
  std::vector<std::vector<at::Tensor>> tensors;  // of each part
  for (size_t part = 0; part < num_parts; ++part) {
    Structure one = get(part);
    for_each_tensor(one, [&all = tensors.emplace_back()](at::Tensor& tensor, Leading) {
      all.push_back(tensor);
    });
  }
  Structure whole = get(0);
  size_t index = 0;
  for_each_tensor(whole, [&](at::Tensor& tensor, Leading leading) {
    std::vector<at::Tensor> parts;
    for (const auto& part : tensors) parts.push_back(part.at(index));
    ++index;
    if (!tensor.defined()) return;
    if (!is_read)
      tensor = unread(tensor, leading, frames, device);
    else if (leading == Leading::frames)
      tensor = at::cat(parts, 1).to(device);
    else
      tensor = tensor.to(device);
  });
  return whole;
}

}  // namespace

WholeVideo::WholeVideo(VisModel& model, const RowReader& reader, at::Device device,
                       const ForwardContext& context)
    : model_(model),
      reader_(reader),
      device_(device),
      context_(context),
      first_stage_(first_whole_video_stage(model)) {}

void WholeVideo::add(const SeenWindows& seen) {
  Part& part = parts_.emplace_back();
  part.window = seen.windows.front();
  part.stages = seen.stages;
  for (StageOutput& stage : part.stages)
    for (LayerPrediction& layer : stage.predictions.layers)
      layer.masks = nullptr;  // they hold the window's features
  part.pyramid = moved(seen.pyramid, at::kCPU);
  part.memory = moved(seen.memory, at::kCPU);
  part.finest_cells = seen.finest_cells;
  part.geometry = seen.geometry;
}

Window WholeVideo::window() const {
  const Window& last = parts_.back().window;
  return {0, last.start + last.length};
}

SeenRows WholeVideo::run(bool wants_masks) {
  std::vector<int64_t> lengths;
  for (const Part& part : parts_) lengths.push_back(part.window.length);
  std::vector<StageOutput>& stages = stages_;
  for (size_t stage = 0; stage < first_stage_; ++stage) {
    std::vector<const StageOutput*> windows;
    for (const Part& part : parts_) windows.push_back(&part.stages[stage]);
    stages.push_back(joined(windows, lengths, model_.stage_name(stage)));
  }
  bool reads_memory = false;
  for (size_t stage = first_stage_; stage < model_.num_stages(); ++stage)
    reads_memory = reads_memory || model_.stage_reads(stage).memory;
  const auto pyramid = of_all_frames<FeaturePyramid>(
      parts_.size(), [this](size_t part) { return parts_[part].pyramid; }, reads_memory,
      window().length, device_);
  const auto memory = of_all_frames<Memory>(
      parts_.size(), [this](size_t part) { return parts_[part].memory; }, reads_memory,
      window().length, device_);
  for (size_t stage = first_stage_; stage < model_.num_stages(); ++stage)
    stages.push_back(model_
                         .run_stage(stage, pyramid, memory, pointers_to(stages), nullptr, context_,
                                    /*with_masks=*/false)
                         .output);
  SeenRows rows = reader_.read_whole(stages, window());
  if (!wants_masks) return rows;
  std::vector<at::Tensor> logits;
  for (size_t part = 0; part < parts_.size(); ++part) {
    const RowMasks masks = this->masks(rows, part);
    logits.push_back(masks.source->logits(0, masks.queries).to(at::kCPU));
  }
  rows.tracker.rows.mask_logits = at::cat(logits, 1);
  return rows;
}

RowMasks WholeVideo::masks(const SeenRows& rows, size_t index) {
  const Part& part = parts_.at(index);
  RowMasks masks;
  masks.window = part.window;
  masks.queries = rows.masks.queries;
  masks.finest_cells = part.finest_cells;
  masks.geometry = part.geometry;
  masks.source = model_
                     .predict_last(model_.num_stages() - 1, moved(part.pyramid, device_),
                                   moved(part.memory, device_),
                                   frames_of(stages_.back().embeddings.layers.back(),
                                             part.window.start, part.window.length),
                                   context_)
                     .masks;
  return masks;
}

}  // namespace tessera
