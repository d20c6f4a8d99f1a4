#include "launcher/inference/video_inference.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <span>

#include "core/error.h"
#include "core/interfaces/build_context.h"
#include "launcher/data/frame_tensor.h"
#include "launcher/inference/mean_masks.h"
#include "launcher/inference/recent_frames.h"
#include "launcher/inference/track_chain.h"
#include "launcher/inference/window_frames.h"
#include "launcher/model/autocast.h"

namespace tessera {
namespace {

// How much of the masks is in memory at once: cells of the backbone's finest level, which mask
// heads work at or near (a few dozen channels each), and pixels of logits at the video's size.
constexpr int64_t kCellsAtOnce = int64_t{1} << 18;
constexpr int64_t kPixelsAtOnce = int64_t{1} << 23;

data::Rle encode(const at::Tensor& mask) {
  return data::from_mask(
      std::span(mask.const_data_ptr<uint8_t>(), static_cast<size_t>(mask.numel())), mask.size(0),
      mask.size(1));
}

/// The classes frame by frame, [1,T,Q,C], cut to some of the frames.
ClassLogits frames_of(ClassLogits classes, int64_t num_frames, int64_t first, int64_t count) {
  if (classes.scope == ClassScope::clip)
    classes.logits = classes.logits.unsqueeze(1).expand({-1, num_frames, -1, -1});
  classes.scope = ClassScope::frame;
  classes.logits = classes.logits.narrow(1, first, count);
  return classes;
}

}  // namespace

std::optional<data::Rle> VideoTracks::mask(const Track& track, int64_t frame) const {
  return masks_->get(track.id, std::min(frame, seen_frames_ - 1));
}

std::vector<std::optional<data::Rle>> VideoTracks::masks(const Track& track) const {
  std::vector<std::optional<data::Rle>> list;
  for (int64_t frame = 0; frame < num_frames_; ++frame) list.push_back(mask(track, frame));
  return list;
}

/// What the model said of one window: rows are the queries that [inference] keep leaves.
struct VideoInference::Seen {
  ClassLogits classes;  // [1,T,R,C], without filling
  at::Tensor queries;   // [R] int64, the query of each row
  int64_t num_queries = 0;
  std::shared_ptr<const MaskSource> masks;
  int64_t clip = 0;          // the window's place in `masks`
  int64_t finest_cells = 1;  // of the backbone's finest level
  at::Tensor mask_logits;    // [R,T,h,w] where the linker or the merge wants them
  WindowTracks tracks;
  FrameGeometry geometry;
};

VideoInference::VideoInference(VisModel& model, const Experiment& experiment, at::Device device,
                               std::filesystem::path scratch)
    : model_(model),
      experiment_(experiment),
      device_(device),
      type_(model.parameters().front().scalar_type()),
      scratch_(std::move(scratch)),
      linker_(BuildContext().make(experiment.inference.linker)),
      plan_(experiment.inference, model.needs().fixed_frames, *linker_) {
  context_.autocast = autocast_type(experiment.inference.autocast);
  model_.eval();
}

int64_t VideoInference::model_frames_of(int64_t length) const {
  const int64_t fixed = model_.needs().fixed_frames;
  return fixed > 0 ? fixed : length;
}

std::vector<Window> VideoInference::windows_of_video(const data::InferenceVideo& video) const {
  const FrameCount& limit = experiment_.inference.frames;
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

FeaturePyramid VideoInference::features(const data::InferenceVideo& video,
                                        std::span<const Window> windows, FrameGeometry& geometry,
                                        const FrameProgress& progress) const {
  const InferenceOptions& options = experiment_.inference;
  const Window& window = windows.front();
  std::vector<WindowFrames> sources;
  for (const Window& each : windows)
    sources.emplace_back(video,
                         WindowFrames::Span{each.start, each.length, model_frames_of(each.length)},
                         experiment_.data, options);
  FeaturePyramid whole;
  for (int64_t first = 0; first < window.length; first += options.backbone_frames) {
    const int64_t count = std::min(options.backbone_frames, window.length - first);
    std::vector<at::Tensor> clips;
    for (const WindowFrames& source : sources) clips.push_back(source.read(first, count));
    ClipMeta meta;
    meta.video_id = video.id;
    meta.video_name = video.name;
    meta.height = clips.front().size(2);
    meta.width = clips.front().size(3);
    meta.original_height = video.height;
    meta.original_width = video.width;
    ClipBatch batch = data::batch_frames(clips, {clips.size(), meta}, model_.needs().size_divisor);
    batch.frames = batch.frames.to(device_, type_);
    batch.padding_mask = batch.padding_mask.to(device_);
    geometry = {batch.frames.size(3), batch.frames.size(4), meta.height,
                meta.width,           video.height,         video.width};
    FeaturePyramid part = model_.features(batch, context_);
    if (progress) progress(windows.back().start + first + count);
    if (count == window.length) return part;
    // Written into their place: joining a list of parts at the end would take the memory twice.
    auto place = [&](at::Tensor& all, const at::Tensor& some) {
      if (!some.defined()) return;
      if (!all.defined()) {
        std::vector<int64_t> sizes = some.sizes().vec();
        sizes[1] = window.length;
        all = at::empty(sizes, some.options());
      }
      all.narrow(1, first, count).copy_(some);
    };
    whole.levels.resize(part.levels.size());
    for (size_t i = 0; i < part.levels.size(); ++i) {
      place(whole.levels[i].features, part.levels[i].features);
      place(whole.levels[i].padding_mask, part.levels[i].padding_mask);
      whole.levels[i].stride = part.levels[i].stride;
    }
    place(whole.padding_mask, part.padding_mask);
  }
  return whole;
}

std::vector<VideoInference::Seen> VideoInference::see(const data::InferenceVideo& video,
                                                      std::span<const Window> windows,
                                                      bool is_linked, const FrameProgress& progress,
                                                      const ForwardContext& context) const {
  const int64_t length = windows.front().length;
  FrameGeometry geometry;
  FeaturePyramid pyramid = features(video, windows, geometry, progress);
  const int64_t model_frames = model_frames_of(length);
  if (model_frames > length) {
    // A backbone sees each frame by itself, so features can be repeated in place of frames.
    const at::Tensor frames = at::remainder(at::arange(model_frames), length).to(device_);
    for (FeatureLevel& level : pyramid.levels) {
      level.features = level.features.index_select(1, frames);
      if (level.padding_mask.defined())
        level.padding_mask = level.padding_mask.index_select(1, frames);
    }
    pyramid.padding_mask = pyramid.padding_mask.index_select(1, frames);
  }
  VisModel::Output output = model_.predict(std::move(pyramid), context);
  const at::Tensor& finest = output.pyramid.levels.front().features;
  const LayerPrediction& last = output.last().predictions.layers.back();
  const InstanceLayer& embedded = output.last().embeddings.layers.back();
  std::vector<Seen> all;
  for (size_t i = 0; i < windows.size(); ++i) {
    Seen& seen = all.emplace_back();
    seen.clip = static_cast<int64_t>(i);
    seen.geometry = geometry;
    seen.finest_cells = finest.size(3) * finest.size(4);
    seen.masks = last.masks;
    ClassLogits classes = last.classes;
    classes.logits = classes.logits.narrow(0, seen.clip, 1);
    seen.classes = frames_of(std::move(classes), model_frames, 0, length);
    seen.num_queries = seen.classes.logits.size(2);
    seen.queries = kept_queries(seen.classes, experiment_.inference.keep);
    if (seen.queries.size(0) < seen.num_queries)
      seen.classes.logits = seen.classes.logits.index_select(2, seen.queries);
    seen.tracks.first_frame = windows[i].start;
    seen.tracks.class_probabilities =
        category_probabilities(seen.classes, experiment_.data.num_categories).select(0, 0).mean(0);
    seen.tracks.embeddings = embedded.frame.defined()
                                 ? embedded.frame[seen.clip].narrow(0, 0, length).mean(0)
                                 : embedded.clip[seen.clip];
    seen.tracks.embeddings = seen.tracks.embeddings.index_select(0, seen.queries);
    const bool merges = experiment_.inference.merge == "mean";
    if (!is_linked || !(linker_->wants_masks() || merges)) continue;
    seen.mask_logits = seen.masks->logits(seen.clip, seen.queries).narrow(1, 0, length);
    seen.tracks.mask_logits = seen.mask_logits.to(at::kCPU);
  }
  return all;
}

at::Tensor VideoInference::frame_scores(const Seen& seen) const {
  return category_probabilities(seen.classes, experiment_.data.num_categories)
      .select(0, 0)
      .amax(-1)
      .to(at::kCPU, at::kDouble)
      .contiguous();
}

at::Tensor VideoInference::thresholded(const at::Tensor& logits,
                                       const FrameGeometry& geometry) const {
  const double threshold = experiment_.inference.mask_threshold;
  const double logit = std::log(threshold) - std::log1p(-threshold);  // sigmoid(x) > threshold
  return (resize_mask_logits(logits, geometry).squeeze(1) > logit)
      .to(at::kCPU, at::kByte)
      .contiguous();
}

void VideoInference::add_to_means(const Seen& seen, const Window& window,
                                  const std::vector<int64_t>& track_of_row,
                                  MeanMasks& means) const {
  const at::Tensor score = frame_scores(seen);
  for (int64_t t = 0; t < window.length; ++t)
    means.add(window.start + t, track_of_row, seen.mask_logits.select(1, t), score[t]);
}

void VideoInference::store_means(MeanMasks& means, int64_t end, const FrameGeometry& geometry,
                                 MaskStore& store) const {
  for (const auto& [frame, mean] : means.take(end)) {
    const int64_t pixels = geometry.original_height * geometry.original_width;
    const int64_t rows_at_once = std::max<int64_t>(1, kPixelsAtOnce / std::max<int64_t>(pixels, 1));
    const auto num_rows = static_cast<int64_t>(mean.tracks.size());
    for (int64_t first = 0; first < num_rows; first += rows_at_once) {
      const int64_t count = std::min(rows_at_once, num_rows - first);
      const at::Tensor masks =
          thresholded(mean.logits.narrow(0, first, count).unsqueeze(1), geometry);
      for (int64_t row = 0; row < count; ++row) {
        if (mean.score[first + row].item<double>() < experiment_.inference.frame_score_threshold)
          continue;
        const data::Rle rle = encode(masks[row]);
        if (data::area(rle) > 0)
          store.put(mean.tracks[static_cast<size_t>(first + row)], frame, rle);
      }
    }
  }
}

void VideoInference::store_masks(const Seen& seen, const Window& window, int64_t first_frame,
                                 const std::vector<int64_t>& rows,
                                 const std::vector<int64_t>& track_of_row, MaskStore& store) const {
  const InferenceOptions& options = experiment_.inference;
  const at::Tensor score = frame_scores(seen);
  const auto score_of = score.accessor<double, 2>();
  const int64_t first = first_frame - window.start;
  const int64_t pixels = seen.geometry.original_height * seen.geometry.original_width;
  const int64_t rows_at_once =
      std::max<int64_t>(1, std::min(kCellsAtOnce / (window.length * seen.finest_cells),
                                    kPixelsAtOnce / std::max<int64_t>(pixels, 1)));
  std::vector<int64_t> wanted;
  for (const int64_t row : rows) {
    bool is_wanted = false;
    for (int64_t t = first; t < window.length; ++t)
      is_wanted = is_wanted || score_of[t][row] >= options.frame_score_threshold;
    if (is_wanted) wanted.push_back(row);
  }
  for (size_t begin = 0; begin < wanted.size(); begin += static_cast<size_t>(rows_at_once)) {
    const std::vector<int64_t> some(wanted.begin() + static_cast<std::ptrdiff_t>(begin),
                                    wanted.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                         wanted.size(), begin + rows_at_once)));
    const at::Tensor index = at::tensor(some).to(device_);
    const at::Tensor logits =
        seen.mask_logits.defined()
            ? seen.mask_logits.index_select(0, index)
            : seen.masks->logits(seen.clip, seen.queries.index_select(0, index));  // [R,T,h,w]
    for (int64_t t = first; t < window.length; ++t) {
      // One frame at a time: full-size logits of all frames would not fit for long videos.
      const at::Tensor masks = thresholded(logits.narrow(1, t, 1), seen.geometry);
      for (size_t i = 0; i < some.size(); ++i) {
        if (score_of[t][some[i]] < options.frame_score_threshold) continue;
        const data::Rle rle = encode(masks[static_cast<int64_t>(i)]);
        if (data::area(rle) > 0) store.put(track_of_row[some[i]], window.start + t, rle);
      }
    }
  }
}

VideoTracks VideoInference::run(const data::InferenceVideo& given, const FrameProgress& progress,
                                ExplainedWindow* explained) const {
  at::NoGradGuard no_grad;
  const InferenceOptions& options = experiment_.inference;
  const int64_t num_seen =
      options.frames.is_all() ? given.length : std::min(options.frames.frames, given.length);
  const std::vector<Window> windows = windows_of_video(given);
  data::InferenceVideo video = given;
  video.source = std::make_shared<RecentFrames>(given.source, most_shared_frames(windows));
  auto store = std::make_shared<MaskStore>(scratch_, num_seen);
  TrackChain chain(linker_);
  TrackScores scores(options, experiment_.data.num_categories);
  std::vector<ScoredTrack> tracks;
  MeanMasks means;
  const bool merges = options.merge == "mean" && windows.size() > 1;
  int64_t decided = 0;  // frames that a window before has seen
  auto join = [&](const Seen& seen, size_t index) {
    const Window& window = windows[index];
    const std::vector<int64_t> track_of_row = chain.add(seen.tracks, decided - window.start);
    const int64_t first = merges ? window.start : decided;
    const int64_t end = window.start + window.length;
    scores.add(frames_of(seen.classes, window.length, first - window.start, end - first),
               track_of_row, chain.live_tracks());
    if (merges) {
      add_to_means(seen, window, track_of_row, means);
      const bool is_last = index + 1 == windows.size();
      store_means(means, is_last ? end : windows[index + 1].start, seen.geometry, *store);
      decided = end;
      return track_of_row;
    }
    // The video's best are known before any mask is made where it is one window.
    std::set<int64_t> kept;
    if (windows.size() == 1) {
      tracks = scores.finish();
      for (const ScoredTrack& track : tracks) kept.insert(track.id);
    }
    std::vector<int64_t> rows;
    for (size_t row = 0; row < track_of_row.size(); ++row)
      if (windows.size() > 1 || kept.contains(track_of_row[row]))
        rows.push_back(static_cast<int64_t>(row));
    store_masks(seen, window, decided, rows, track_of_row, *store);
    decided = end;
    return track_of_row;
  };
  const size_t explained_window =
      explained ? std::min(static_cast<size_t>(explained->index), windows.size() - 1) : 0;
  // Short windows are seen several at a time; which is which does not depend on that.
  const auto at_once =
      static_cast<size_t>(std::max<int64_t>(1, options.backbone_frames / windows.front().length));
  for (size_t begin = 0; begin < windows.size(); begin += at_once) {
    const std::span<const Window> some(windows.begin() + static_cast<std::ptrdiff_t>(begin),
                                       std::min(at_once, windows.size() - begin));
    const bool watches =
        explained && explained_window >= begin && explained_window < begin + some.size();
    CrossAttentionRecorder recorder(explained ? explained->layer : std::nullopt,
                                    watches ? static_cast<int64_t>(explained_window - begin) : 0);
    ForwardContext watched = context_;
    watched.attention = &recorder;
    const std::vector<Seen> seen =
        see(video, some, windows.size() > 1, progress, watches ? watched : context_);
    for (size_t i = 0; i < some.size(); ++i) {
      const std::vector<int64_t> tracks_of_rows = join(seen[i], begin + i);
      if (!watches || begin + i != explained_window) continue;
      explained->start = some[i].start;
      explained->length = some[i].length;
      explained->looked = recorder.finish();
      explained->geometry = seen[i].geometry;
      explained->num_queries = seen[i].num_queries;
      explained->track_of_query.assign(static_cast<size_t>(seen[i].num_queries), -1);
      for (size_t row = 0; row < tracks_of_rows.size(); ++row)
        explained->track_of_query.at(static_cast<size_t>(
            seen[i].queries[static_cast<int64_t>(row)].item<int64_t>())) = tracks_of_rows[row];
    }
  }
  if (windows.size() > 1) tracks = scores.finish();
  std::erase_if(tracks, [&](const ScoredTrack& track) { return !store->has(track.id); });
  return VideoTracks(std::move(tracks), std::move(store), num_seen,
                     options.fill == "none" ? num_seen : video.length);
}

}  // namespace tessera
