#include "launcher/inference/track_masks.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "launcher/inference/track_scores.h"

namespace tessera {
namespace {

// How much of the masks is in memory at once: cells of the backbone's finest level, which mask
// heads work at or near (a few dozen channels each), and pixels of logits at the video's size.
constexpr int64_t kCellsAtOnce = int64_t{1} << 18;
constexpr int64_t kPixelsAtOnce = int64_t{1} << 23;

int64_t rows_of_pixels(const FrameGeometry& geometry) {
  const int64_t pixels = geometry.original_height * geometry.original_width;
  return kPixelsAtOnce / std::max<int64_t>(pixels, 1);
}

data::Rle run_lengths(const at::Tensor& mask) {
  return data::from_mask(
      std::span(mask.const_data_ptr<uint8_t>(), static_cast<size_t>(mask.numel())), mask.size(0),
      mask.size(1));
}

/// sigmoid(x) > threshold  <=>  x > logit(threshold)
double logit(double threshold) {
  return std::log(threshold) - std::log1p(-threshold);
}

}  // namespace

at::Tensor frame_scores(const ClassLogits& classes, int64_t num_categories) {
  return category_probabilities(classes, num_categories)
      .select(0, 0)
      .amax(-1)
      .to(at::kCPU, at::kDouble)
      .contiguous();
}

/// in: logits [R,1,h,w] of one frame at the mask head's size, by track.
void TrackMasks::encode(const at::Tensor& logits, const FrameGeometry& geometry, int64_t frame,
                        const std::vector<int64_t>& tracks, const std::vector<bool>& is_wanted) {
  const at::Tensor resized = resize_mask_logits(logits, geometry);  // [R,1,H,W]
  const at::Tensor masks = (resized.squeeze(1) > logit(options_.inference.mask_threshold))
                               .to(at::kCPU, at::kByte)
                               .contiguous();
  const std::string& quality = options_.inference.mask_quality;
  if (quality == "output") measure(resized, tracks, is_wanted);
  if (quality == "padded") measure(unpadded_mask_logits(logits, geometry), tracks, is_wanted);
  for (size_t i = 0; i < tracks.size(); ++i) {
    if (!is_wanted[i]) continue;
    const data::Rle rle = run_lengths(masks[static_cast<int64_t>(i)]);
    if (data::area(rle) > 0) store_->put(tracks[i], frame, rle);
  }
}

void TrackMasks::measure(const at::Tensor& logits, const std::vector<int64_t>& tracks,
                         const std::vector<bool>& is_wanted) {
  const at::Tensor rows = logits.flatten(1);  // [R,pixels]
  const at::Tensor is_in = rows > logit(options_.inference.mask_threshold);
  const at::Tensor sums =
      (rows.sigmoid() * is_in).sum(1, /*keepdim=*/false, at::kDouble).to(at::kCPU);
  const at::Tensor pixels = is_in.sum(1).to(at::kCPU);
  for (size_t i = 0; i < tracks.size(); ++i) {
    if (!is_wanted[i]) continue;
    Quality& quality = qualities_[tracks[i]];
    quality.sum += sums[static_cast<int64_t>(i)].item<double>();
    quality.pixels += pixels[static_cast<int64_t>(i)].item<int64_t>();
  }
}

double TrackMasks::quality(int64_t track) const {
  const auto found = qualities_.find(track);
  if (found == qualities_.end() || found->second.pixels == 0) return 0.0;
  return found->second.sum / static_cast<double>(found->second.pixels);
}

void TrackMasks::discard(int64_t track) {
  discarded_.insert(track);
  qualities_.erase(track);
  store_->forget(track);
}

void TrackMasks::store(const RowMasks& masks, const at::Tensor& scores, int64_t first_frame,
                       const std::vector<int64_t>& rows, const std::vector<int64_t>& track_of_row) {
  const double threshold = options_.inference.frame_score_threshold;
  const auto score_of = scores.accessor<double, 2>();
  const int64_t first = first_frame - masks.window.start, length = masks.window.length;
  const auto rows_at_once = static_cast<size_t>(std::max<int64_t>(
      1, std::min(kCellsAtOnce / (length * masks.finest_cells), rows_of_pixels(masks.geometry))));
  std::vector<int64_t> wanted;
  for (const int64_t row : rows) {
    if (track_of_row[static_cast<size_t>(row)] < 0) continue;
    bool is_wanted = false;
    for (int64_t t = first; t < length; ++t) is_wanted = is_wanted || score_of[t][row] >= threshold;
    if (is_wanted) wanted.push_back(row);
  }
  for (size_t begin = 0; begin < wanted.size(); begin += rows_at_once) {
    const std::vector<int64_t> some(wanted.begin() + static_cast<std::ptrdiff_t>(begin),
                                    wanted.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                         wanted.size(), begin + rows_at_once)));
    const at::Tensor logits = masks.logits_of(at::tensor(some).to(device_));  // [R,T,h,w]
    std::vector<int64_t> tracks;
    for (const int64_t row : some) tracks.push_back(track_of_row[static_cast<size_t>(row)]);
    for (int64_t t = first; t < length; ++t) {
      std::vector<bool> is_wanted;
      for (const int64_t row : some) is_wanted.push_back(!(score_of[t][row] < threshold));
      // One frame at a time: full-size logits of all frames would not fit for long videos.
      encode(logits.narrow(1, t, 1), masks.geometry, masks.window.start + t, tracks, is_wanted);
    }
  }
}

void TrackMasks::add_to_means(const RowMasks& masks, const at::Tensor& scores,
                              const std::vector<int64_t>& track_of_row) {
  std::vector<int64_t> tracks, rows;
  for (size_t row = 0; row < track_of_row.size(); ++row) {
    if (track_of_row[row] < 0) continue;
    tracks.push_back(track_of_row[row]);
    rows.push_back(static_cast<int64_t>(row));
  }
  at::Tensor logits = masks.logits, kept_scores = scores;
  if (rows.size() < track_of_row.size()) {
    const at::Tensor index = at::tensor(rows, at::kLong);
    logits = logits.index_select(0, index.to(logits.device()));
    kept_scores = scores.index_select(1, index);
  }
  for (int64_t t = 0; t < masks.window.length; ++t)
    means_.add(masks.window.start + t, tracks, logits.select(1, t), kept_scores[t]);
}

void TrackMasks::store_means(int64_t end, const FrameGeometry& geometry) {
  for (const auto& [frame, mean] : means_.take(end)) {
    const int64_t rows_at_once = std::max<int64_t>(1, rows_of_pixels(geometry));
    const auto num_rows = static_cast<int64_t>(mean.tracks.size());
    for (int64_t first = 0; first < num_rows; first += rows_at_once) {
      const int64_t count = std::min(rows_at_once, num_rows - first);
      const std::vector<int64_t> tracks(mean.tracks.begin() + first,
                                        mean.tracks.begin() + first + count);
      std::vector<bool> is_wanted;
      for (int64_t row = first; row < first + count; ++row)
        is_wanted.push_back(
            !(mean.score[row].item<double>() < options_.inference.frame_score_threshold) &&
            !discarded_.contains(mean.tracks[static_cast<size_t>(row)]));
      encode(mean.logits.narrow(0, first, count).unsqueeze(1), geometry, frame, tracks, is_wanted);
    }
  }
}

}  // namespace tessera
