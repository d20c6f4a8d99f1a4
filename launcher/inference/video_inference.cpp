#include "launcher/inference/video_inference.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "core/error.h"
#include "launcher/data/frame_tensor.h"
#include "launcher/inference/select_tracks.h"

namespace tessera {
namespace {

data::Rle encode(const at::Tensor& mask) {
  const at::Tensor bytes = mask.to(at::kCPU, at::kByte).contiguous();
  return data::from_mask(
      std::span(bytes.const_data_ptr<uint8_t>(), static_cast<size_t>(bytes.numel())), bytes.size(0),
      bytes.size(1));
}

at::Tensor probabilities_of(const ClassLogits& classes, int64_t frames, int64_t categories) {
  at::Tensor p = classes.probabilities().select(0, 0);
  if (classes.scope == ClassScope::clip) p = p.unsqueeze(0).expand({frames, -1, -1});
  return p.narrow(-1, classes.label_offset, categories);
}

}  // namespace

VideoInference::VideoInference(VisModel& model, const Experiment& experiment, at::Device device)
    : model_(model),
      experiment_(experiment),
      device_(device),
      window_(experiment.inference.window.frames) {
  const InferenceOptions& options = experiment.inference;
  if (const int64_t fixed = model.needs().fixed_frames; fixed > 0) {
    if (window_ != 0 && window_ != fixed)
      throw ConfigError("inference.window: expected " + std::to_string(fixed) +
                        " frames, which this model's queries are learnt for, or \"all\", got " +
                        std::to_string(window_) + ".");
    window_ = fixed;
  }
  if (window_ > 0 && options.overlap >= window_)
    throw ConfigError("inference.overlap: expected fewer than the window's " +
                      std::to_string(window_) + " frames, got " + std::to_string(options.overlap) +
                      ".");
  linker_ = BuildContext().make(options.linker);
  model_.eval();
}

std::vector<VideoInference::Window> VideoInference::windows_of(int64_t num_frames) const {
  if (window_ == 0 || num_frames <= window_) return {{0, num_frames}};
  std::vector<Window> windows;
  const int64_t step = window_ - experiment_.inference.overlap;
  for (int64_t start = 0;; start += step) {
    // The last window moves back to end with the video: it overlaps more, and nothing is filled up.
    windows.push_back({std::min(start, num_frames - window_), window_});
    if (start + window_ >= num_frames) return windows;
  }
}

std::vector<VideoTrack> VideoInference::run(const data::InferenceVideo& video) const {
  at::NoGradGuard no_grad;
  const InferenceOptions& options = experiment_.inference;
  const double logit_threshold = std::log(options.mask_threshold) -
                                 std::log1p(-options.mask_threshold);  // sigmoid(x) > threshold
  std::vector<Growing> tracks;
  std::vector<int64_t> rows_of_tracks;  // track -> row of the window before, -1 = not in it
  WindowTracks before;
  int64_t decided = 0;  // frames whose masks are final
  for (const Window& window : windows_of(video.length)) {
    const int64_t model_frames = model_.needs().fixed_frames > 0 ? window_ : window.length;
    std::vector<at::Tensor> frames;
    for (int64_t i = 0; i < window.length; ++i) frames.push_back(video.read(window.start + i));
    for (int64_t i = window.length; i < model_frames; ++i)
      frames.push_back(frames[i % window.length]);
    const at::Tensor prepared = data::prepare_frames(at::stack(frames), options.short_side,
                                                     options.max_side, experiment_.data.normalise);
    ClipMeta meta;
    meta.video_id = video.id;
    meta.video_name = video.name;
    meta.height = prepared.size(2);
    meta.width = prepared.size(3);
    meta.original_height = video.height;
    meta.original_width = video.width;
    ClipBatch batch = data::batch_frames({prepared}, {meta}, model_.needs().size_divisor);
    batch.frames = batch.frames.to(device_);
    batch.padding_mask = batch.padding_mask.to(device_);

    const ForwardContext context;
    const VisModel::Output output = model_.forward(batch, context);
    const LayerPrediction& last = output.predictions.last();
    const at::Tensor probabilities =
        probabilities_of(last.classes, model_frames, experiment_.data.num_categories)
            .narrow(0, 0, window.length);
    const int64_t queries = probabilities.size(1);
    const FrameGeometry geometry{batch.frames.size(3), batch.frames.size(4), meta.height,
                                 meta.width,           video.height,         video.width};
    const at::Tensor logits =
        last.masks->logits(0, at::arange(queries, at::TensorOptions(at::kLong).device(device_)))
            .narrow(1, 0, window.length);  // [Q,T,h,w]

    // Which track each row goes on with.
    WindowTracks now;
    now.first_frame = window.start;
    now.class_probabilities = probabilities.mean(0);
    now.mask_logits = linker_->wants_masks() ? logits.to(at::kCPU) : at::Tensor();
    const InstanceLayer& embedded = output.embeddings.layers.back();
    now.embeddings = embedded.frame.defined() ? embedded.frame[0].mean(0) : embedded.clip[0];
    std::vector<int64_t> track_of_row(queries, -1);
    if (!tracks.empty()) {
      const int64_t overlap = before.first_frame + model_frames - window.start;
      const at::Tensor linked = linker_->link(before, now, std::max<int64_t>(overlap, 0));
      for (size_t track = 0; track < tracks.size(); ++track)
        if (rows_of_tracks[track] >= 0)
          if (const int64_t row = linked[rows_of_tracks[track]].item<int64_t>(); row >= 0)
            track_of_row[row] = static_cast<int64_t>(track);
    }
    rows_of_tracks.assign(tracks.size(), -1);
    for (int64_t row = 0; row < queries; ++row) {
      if (track_of_row[row] < 0) {
        track_of_row[row] = static_cast<int64_t>(tracks.size());
        tracks.emplace_back();
        tracks.back().segmentations.resize(video.length);
        rows_of_tracks.push_back(-1);
      }
      rows_of_tracks[track_of_row[row]] = row;
    }

    const at::Tensor host = probabilities.to(at::kCPU, at::kFloat);
    for (int64_t frame = std::max(decided, window.start); frame < window.start + window.length;
         ++frame) {
      const int64_t local = frame - window.start;
      // One frame at a time: full-size logits of all rows and frames would not fit for long videos.
      const at::Tensor masks =
          resize_mask_logits(logits.narrow(1, local, 1), geometry).squeeze(1) > logit_threshold;
      for (int64_t row = 0; row < queries; ++row) {
        Growing& track = tracks[track_of_row[row]];
        track.probabilities.push_back(host[local][row]);
        const double own_score = host[local][row].max().item<double>();
        if (own_score < options.frame_score_threshold) continue;
        data::Rle rle = encode(masks[row]);
        if (data::area(rle) > 0) track.segmentations[frame] = std::move(rle);
      }
    }
    decided = window.start + window.length;
    before = std::move(now);
  }
  return finish(tracks);
}

std::vector<VideoTrack> VideoInference::finish(const std::vector<Growing>& tracks) const {
  std::vector<VideoTrack> result;
  auto add = [&](const Growing& track, int64_t category, double score) {
    const bool seen = std::any_of(track.segmentations.begin(), track.segmentations.end(),
                                  [](const auto& mask) { return mask.has_value(); });
    if (seen) result.push_back({category, score, track.segmentations});
  };
  if (experiment_.inference.select == "slot") {
    for (const Growing& track : tracks) {
      const SelectedTracks selected = select_slots(at::stack(track.probabilities).unsqueeze(1));
      add(track, selected.category[0].item<int64_t>(), selected.score[0].item<double>());
    }
  } else {
    std::vector<at::Tensor> means;
    for (const Growing& track : tracks) means.push_back(at::stack(track.probabilities).mean(0));
    const SelectedTracks selected =
        select_top_k(at::stack(means).unsqueeze(0), experiment_.inference.top_k);
    for (int64_t i = 0; i < selected.rows.size(0); ++i)
      add(tracks[selected.rows[i].item<int64_t>()], selected.category[i].item<int64_t>(),
          selected.score[i].item<double>());
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const VideoTrack& a, const VideoTrack& b) { return a.score > b.score; });
  return result;
}

}  // namespace tessera
