#include "launcher/visualisation/explain_video.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "launcher/data/image_io.h"
#include "launcher/visualisation/explain_view.h"

namespace tessera::visualisation {
namespace {

constexpr int64_t kMostFrames = 6;

/// Frames of the window to show, counted from its start.
std::vector<int64_t> shown_frames(int64_t length) {
  const int64_t count = std::min(length, kMostFrames);
  std::vector<int64_t> frames;
  for (int64_t i = 0; i < count; ++i)
    frames.push_back(count == 1 ? 0 : i * (length - 1) / (count - 1));
  return frames;
}

at::Tensor mask_of(const VideoTracks& found, const VideoTracks::Track& track, int64_t frame) {
  if (frame >= found.num_frames()) return {};
  const std::optional<data::Rle> rle = found.mask(track, frame);
  if (!rle) return {};
  std::vector<uint8_t> bytes = data::to_mask(*rle);
  return at::from_blob(bytes.data(), {rle->height, rle->width}, at::kByte).to(at::kBool);
}

}  // namespace

void write_explanation(const data::InferenceVideo& video, const VideoTracks& found,
                       const ExplainedWindow& window, const std::vector<std::string>& categories,
                       int64_t most_tracks, const std::filesystem::path& file) {
  const std::vector<int64_t> shown = shown_frames(window.length);
  const int64_t own = shown[shown.size() / 2];
  const bool asks_a_frame =
      !window.looked.per_frame && window.looked.weights.size(1) > window.num_queries;
  std::vector<at::Tensor> frames;
  std::vector<int64_t> numbers;
  for (const int64_t t : shown) {
    frames.push_back(video.read(window.start + t));
    numbers.push_back(window.start + t);
  }
  std::vector<ExplainedTrack> tracks;
  std::set<int64_t> taken;
  for (const VideoTracks::Track& track : found.tracks()) {
    if (static_cast<int64_t>(tracks.size()) >= most_tracks) break;
    const auto query =
        std::find(window.track_of_query.begin(), window.track_of_query.end(), track.id);
    // A track of other windows; or a query's second class, which looked where its first did.
    if (query == window.track_of_query.end() || !taken.insert(track.id).second) continue;
    const std::vector<FrameView> views =
        view_query(window, query - window.track_of_query.begin(), own);
    char score[16];
    std::snprintf(score, sizeof(score), " %.2f", track.score);
    ExplainedTrack shown_track;
    shown_track.id = static_cast<int64_t>(tracks.size());
    shown_track.label = categories.at(static_cast<size_t>(track.category)) + score + ", query " +
                        std::to_string(query - window.track_of_query.begin());
    if (asks_a_frame) shown_track.label += " of frame " + std::to_string(window.start + own);
    for (const int64_t t : shown) {
      shown_track.views.push_back(views[static_cast<size_t>(t)]);
      shown_track.masks.push_back(mask_of(found, track, window.start + t));
    }
    tracks.push_back(std::move(shown_track));
  }
  const std::string title = video.name + ", " + window.looked.attention +
                            (tracks.empty() ? ": no tracks in this window" : "");
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
  data::write_image(file, draw_explanation(frames, numbers, tracks, title));
}

}  // namespace tessera::visualisation
