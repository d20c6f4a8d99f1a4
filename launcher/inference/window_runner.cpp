#include "launcher/inference/window_runner.h"

#include <ATen/ATen.h>

#include <utility>

#include "launcher/inference/stage_outputs.h"
#include "launcher/inference/structures.h"

namespace tessera {

size_t first_whole_video_stage(const VisModel& model) {
  for (size_t stage = 0; stage < model.num_stages(); ++stage)
    if (model.stage_spec(stage).needs_video) return stage;
  return model.num_stages();
}

bool keeps_state(const VisModel& model) {
  for (size_t stage = 0; stage < model.num_stages(); ++stage)
    if (model.stage_spec(stage).keeps_state) return true;
  return false;
}

std::vector<const StageOutput*> pointers_to(const std::vector<StageOutput>& stages) {
  std::vector<const StageOutput*> pointers;
  for (const StageOutput& stage : stages) pointers.push_back(&stage);
  return pointers;
}

WindowRunner::WindowRunner(VisModel& model, const WindowFeatures& features,
                           const ForwardContext& context)
    : model_(model),
      features_(features),
      context_(context),
      num_windowed_(first_whole_video_stage(model)),
      first_with_state_(num_windowed_),
      states_(model.num_stages()) {
  for (size_t stage = num_windowed_; stage-- > 0;)
    if (model.stage_spec(stage).keeps_state) first_with_state_ = stage;
}

ForwardContext WindowRunner::watched_context(const WatchedWindow& watched, int64_t clip,
                                             size_t num_clips) const {
  ForwardContext context = context_;
  if (watched.recorder) watched.recorder->watch_clip(clip, static_cast<int64_t>(num_clips));
  context.attention = watched.recorder;
  return context;
}

void WindowRunner::run(const data::InferenceVideo& video, std::span<const Window> windows,
                       const FrameProgress& progress, const WatchedWindow& watched,
                       const Sink& sink) {
  SeenWindows seen;
  seen.windows.assign(windows.begin(), windows.end());
  seen.model_frames = features_.model_frames(windows.front().length);
  auto [pyramid, geometry] = features_.read(video, windows, context_, progress);
  if (geometry_.height > 0) expect_same_size(video, geometry_, geometry);
  seen.geometry = geometry_ = geometry;
  const at::Tensor& finest = pyramid.levels.front().features;
  seen.finest_cells = finest.size(3) * finest.size(4);
  const bool sees_windows_apart = first_with_state_ == model_.num_stages();
  if (!sees_windows_apart) return run_stages(std::move(pyramid), std::move(seen), watched, sink);
  const ForwardContext context =
      watched_context(watched, static_cast<int64_t>(watched.window), seen.windows.size());
  seen.stages = std::move(model_.predict(std::move(pyramid), context).stages);
  sink(seen);
}

void WindowRunner::run_stages(FeaturePyramid pyramid, SeenWindows seen,
                              const WatchedWindow& watched, const Sink& sink) {
  const ForwardContext all =
      watched_context(watched, static_cast<int64_t>(watched.window), seen.windows.size());
  const Memory memory = model_.encode(pyramid, all);
  for (size_t stage = 0; stage < first_with_state_; ++stage)
    seen.stages.push_back(
        model_.run_stage(stage, pyramid, memory, pointers_to(seen.stages), nullptr, all).output);
  const bool keeps_features = num_windowed_ < model_.num_stages();
  for (size_t i = 0; i < seen.windows.size(); ++i) {
    const auto clip = static_cast<int64_t>(i);
    SeenWindows one = seen;
    one.windows = {seen.windows[i]};
    for (StageOutput& stage : one.stages) stage = clip_of(stage, clip, seen.model_frames);
    FeaturePyramid own_pyramid = clip_of(pyramid, clip);
    Memory own_memory = clip_of(memory, clip);
    const ForwardContext context = i == watched.window ? watched_context(watched, 0, 1) : context_;
    for (size_t stage = first_with_state_; stage < num_windowed_; ++stage) {
      auto run = model_.run_stage(stage, own_pyramid, own_memory, pointers_to(one.stages),
                                  &states_[stage], context);
      one.stages.push_back(std::move(run.output));
      states_[stage] = std::move(run.state);
    }
    if (keeps_features) {
      one.pyramid = std::move(own_pyramid);
      one.memory = std::move(own_memory);
    }
    sink(one);
  }
}

}  // namespace tessera
