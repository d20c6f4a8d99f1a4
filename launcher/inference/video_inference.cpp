#include "launcher/inference/video_inference.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/interfaces/build_context.h"
#include "launcher/inference/recent_frames.h"
#include "launcher/inference/stage_outputs.h"
#include "launcher/inference/track_joiner.h"
#include "launcher/inference/whole_video.h"
#include "launcher/inference/window_runner.h"
#include "launcher/model/autocast.h"

namespace tessera {
namespace {

bool predicts_video(const VisModel& model) {
  return first_whole_video_stage(model) < model.num_stages();
}

WindowNeeds window_needs(const VisModel& model, int64_t predicted_frames) {
  WindowNeeds needs;
  needs.fixed_frames = model.needs().fixed_frames;
  needs.predicts_video = predicts_video(model);
  needs.predicted_frames = predicted_frames;
  for (size_t stage = 0; stage < model.num_stages(); ++stage)
    if (const int64_t frames = model.stage_spec(stage).piece_frames; frames > 0)
      needs.piece_frames = std::lcm(needs.piece_frames, frames);
  needs.in_order = keeps_state(model) || needs.predicts_video || predicted_frames > 0;
  return needs;
}

/// A stage that sees the whole video: its masks are made of some frames at a time.
void expect_frames_apart(const VisModel& model) {
  const size_t last = model.num_stages() - 1;
  if (!model.encodes_frames_apart() || !model.makes_masks_apart(last))
    throw ConfigError(
        "model: expected an encoder and a mask head that work frame by frame beside a stage that "
        "sees the whole video, got one that joins frames. Such parts state frames_apart().");
  if (model.stage_spec(last).piece_frames > 0)
    throw ConfigError("model: expected one prediction for the whole video from the stage '" +
                      model.stage_name(last) + "', got one for " +
                      std::to_string(model.stage_spec(last).piece_frames) + " frames.");
}

/// Windows that are seen at once: some of one length, whose frames go through the backbone
/// together.
std::span<const Window> next_windows(const std::vector<Window>& windows, size_t begin,
                                     int64_t backbone_frames) {
  const int64_t length = windows[begin].length;
  const auto most = static_cast<size_t>(std::max<int64_t>(1, backbone_frames / length));
  size_t count = 1;
  while (count < most && begin + count < windows.size() && windows[begin + count].length == length)
    ++count;
  return std::span(windows).subspan(begin, count);
}

size_t explained_stage(const VisModel& model, const std::string& name) {
  for (size_t stage = 0; stage < model.num_stages(); ++stage)
    if (name.empty() || model.stage_name(stage) == name) return stage;
  throw ConfigError("infer --explain-stage: expected the name of a stage of the model, got '" +
                    name + "'.");
}

/// The tracks of an explained stage's queries in one frame of a clip.
/// in: the tracks of `rows` of the last stage. out: [Q], -1 = none.
std::vector<int64_t> tracks_of_queries(const std::vector<StageOutput>& stages, size_t stage,
                                       int64_t clip, int64_t frame, const SeenRows& rows,
                                       const std::vector<int64_t>& track_of_row) {
  const at::Tensor continued = rows_in_stage(stages, stage, clip);  // [T,Q]
  const int64_t num_queries = stages[stage].predictions.last().classes.logits.size(-2);
  std::vector<int64_t> tracks(static_cast<size_t>(num_queries), -1);
  for (size_t row = 0; row < track_of_row.size(); ++row) {
    auto query = rows.masks.queries[static_cast<int64_t>(row)].item<int64_t>();
    if (continued.defined()) query = continued[frame][query].item<int64_t>();
    if (track_of_row[row] >= 0) tracks.at(static_cast<size_t>(query)) = track_of_row[row];
  }
  return tracks;
}

}  // namespace

VideoInference::VideoInference(VisModel& model, VideoOptions options, at::Device device,
                               std::filesystem::path scratch)
    : model_(model),
      options_(std::move(options)),
      device_(device),
      scratch_(std::move(scratch)),
      tracker_(make_tracker()),
      features_(model, options_, device),
      reader_(model, options_),
      plan_(options_.inference, window_needs(model, reader_.piece_frames()), *tracker_) {
  if (predicts_video(model)) expect_frames_apart(model);
  context_.autocast = autocast_type(options_.inference.autocast);
  model_.eval();
}

std::shared_ptr<const Tracker> VideoInference::make_tracker() const {
  BuildContext facts = model_.facts();
  if (!options_.inference.linker.name.empty()) facts.linker = facts.make(options_.inference.linker);
  const auto tracker = facts.make(options_.inference.tracker);
  tracker->eval();
  tracker->to(device_);
  return tracker;
}

std::vector<Window> VideoInference::windows_of_video(const data::InferenceVideo& video) const {
  const FrameCount& limit = options_.inference.frames;
  return plan_.of(limit.is_all() ? video.length : std::min(limit.frames, video.length));
}

void VideoInference::check_windows(const std::vector<data::InferenceVideo>& videos) const {
  for (const data::InferenceVideo& video : videos) {
    try {
      windows_of_video(video);
    } catch (const ConfigError& error) {
      throw ConfigError(video.name + ": " + error.what());
    }
  }
}

bool VideoInference::is_single(const std::vector<Window>& windows) const {
  if (predicts_video(model_)) return true;
  const int64_t piece = reader_.piece_frames();
  return windows.size() == 1 && (piece == 0 || windows.front().length <= piece);
}

void VideoInference::join_windows(const data::InferenceVideo& video,
                                  const std::vector<Window>& windows, const FrameProgress& progress,
                                  ExplainedWindow* explained, TrackJoiner& joiner) const {
  const InferenceOptions& options = options_.inference;
  const bool wants_masks = is_single(windows) ? tracker_->wants_masks_of_single_window()
                                              : tracker_->wants_masks() || options.merge == "mean";
  const size_t watched_window =
      explained ? std::min(static_cast<size_t>(explained->index), windows.size() - 1) : 0;
  CrossAttentionRecorder recorder(explained ? explained->layer : std::nullopt,
                                  explained ? explained->stage : std::string());
  const size_t stage = explained ? explained_stage(model_, explained->stage) : 0;
  const auto explain = [&](const std::vector<StageOutput>& stages, int64_t clip, int64_t frame,
                           const SeenRows& rows, const std::vector<int64_t>& track_of_row) {
    explained->track_of_query = tracks_of_queries(stages, stage, clip, frame, rows, track_of_row);
    explained->num_queries = static_cast<int64_t>(explained->track_of_query.size());
  };
  const auto join = [&](const SeenWindows& seen, size_t in_seen, size_t index) {
    const std::vector<SeenRows> parts = reader_.read(seen, in_seen, wants_masks);
    for (size_t part = 0; part < parts.size(); ++part) {
      const std::vector<int64_t> track_of_row = joiner.add(parts[part]);
      std::optional<int64_t> next_start;
      if (part + 1 < parts.size())
        next_start = parts[part + 1].window.start;
      else if (index + 1 < windows.size())
        next_start = windows[index + 1].start;
      joiner.store(parts[part].masks, next_start);
      if (explained && index == watched_window && part == 0)
        explain(seen.stages, static_cast<int64_t>(in_seen), 0, parts[part], track_of_row);
    }
  };

  WindowRunner runner(model_, features_, context_);
  std::optional<WholeVideo> whole;
  if (predicts_video(model_)) whole.emplace(model_, reader_, device_, context_);
  for (size_t begin = 0; begin < windows.size();) {
    const std::span<const Window> some = next_windows(windows, begin, options.backbone_frames);
    const bool watches =
        explained && watched_window >= begin && watched_window < begin + some.size();
    const WatchedWindow watched{watches ? &recorder : nullptr,
                                watches ? watched_window - begin : 0};
    size_t index = begin;
    runner.run(video, some, progress, watched, [&](const SeenWindows& seen) {
      if (watches) explained->geometry = seen.geometry;
      if (whole) whole->add(seen);
      for (size_t i = 0; i < seen.windows.size(); ++i, ++index)
        if (!whole) join(seen, i, index);
    });
    begin += some.size();
    if (!watches) continue;
    explained->looked = recorder.finish();
    explained->start = windows[watched_window].start;
    explained->length = std::min(windows[watched_window].length, explained->looked.num_frames);
  }
  if (whole) {
    const SeenRows rows = whole->run(wants_masks);
    const std::vector<int64_t> track_of_row = joiner.add(rows);
    for (size_t part = 0; part < whole->num_parts(); ++part)
      joiner.store(whole->masks(rows, part), std::nullopt);
    if (explained) explain(whole->stages(), 0, windows[watched_window].start, rows, track_of_row);
  }
}

VideoTracks VideoInference::run(const data::InferenceVideo& given, const FrameProgress& progress,
                                ExplainedWindow* explained) const {
  at::NoGradGuard no_grad;
  const InferenceOptions& options = options_.inference;
  const int64_t num_seen =
      options.frames.is_all() ? given.length : std::min(options.frames.frames, given.length);
  const std::vector<Window> windows = windows_of_video(given);
  data::InferenceVideo video = given;
  video.source = std::make_shared<RecentFrames>(given.source, most_shared_frames(windows));
  auto store = std::make_shared<MaskStore>(scratch_, num_seen);
  TrackJoiner joiner(options_, CheckedTracker(tracker_->begin(), options.tracker.name), device_,
                     store, is_single(windows));
  join_windows(video, windows, progress, explained, joiner);
  return VideoTracks(joiner.finish(), std::move(store), num_seen,
                     options.fill == "none" ? num_seen : video.length);
}

}  // namespace tessera
