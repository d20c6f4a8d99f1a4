#include "core/trackers/linked.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/plugin/plugin.h"
#include "core/trackers/builtin.h"

namespace tessera {
namespace {

class LinkedTracks final : public VideoTracker {
 public:
  explicit LinkedTracks(std::shared_ptr<const Linker> linker) : linker_(std::move(linker)) {}
  TrackUpdate update(const TrackerInput& input) override;

 private:
  struct Window {
    WindowTracks rows;
    std::vector<int64_t> tracks;  // of its rows
  };

  std::vector<int64_t> live_tracks() const;
  at::Tensor linked_to(const std::vector<int64_t>& live, const WindowTracks& next,
                       int64_t overlap) const;
  void remember(const WindowTracks& next, const std::vector<int64_t>& track_of_row,
                const std::vector<int64_t>& order);
  void forget_before(int64_t frame);

  std::shared_ptr<const Linker> linker_;
  std::deque<Window> windows_;  // oldest first; a single one unless the linker remembers windows
  int64_t num_tracks_ = 0;
};

std::vector<int64_t> LinkedTracks::live_tracks() const {
  if (windows_.empty()) return {};
  // With one window its own order: the order of the linker's rows.
  if (!linker_->remembers_windows()) return windows_.back().tracks;
  std::set<int64_t> live;
  for (const Window& window : windows_) live.insert(window.tracks.begin(), window.tracks.end());
  return {live.begin(), live.end()};
}

void LinkedTracks::forget_before(int64_t frame) {
  if (!linker_->remembers_windows()) return;
  while (!windows_.empty() &&
         windows_.front().rows.first_frame + windows_.front().rows.mask_logits.size(1) <= frame)
    windows_.pop_front();
}

at::Tensor LinkedTracks::linked_to(const std::vector<int64_t>& live, const WindowTracks& next,
                                   int64_t overlap) const {
  if (!linker_->remembers_windows()) return linker_->link(windows_.back().rows, next, overlap);
  TrackHistory history;
  history.num_tracks = static_cast<int64_t>(live.size());
  for (const Window& window : windows_) {
    std::vector<int64_t> places;
    for (const int64_t track : window.tracks)
      places.push_back(std::lower_bound(live.begin(), live.end(), track) - live.begin());
    history.windows.push_back({window.rows, at::tensor(places, at::kLong)});
  }
  return linker_->link(history, next);
}

TrackUpdate LinkedTracks::update(const TrackerInput& input) {
  const WindowTracks& next = input.rows;
  const int64_t num_rows = next.class_probabilities.size(0);
  std::vector<int64_t> track_of_row(static_cast<size_t>(num_rows), -1), order;
  const std::vector<int64_t> before = live_tracks();
  forget_before(next.first_frame);
  if (const std::vector<int64_t> live = live_tracks(); !live.empty()) {
    const at::Tensor linked = linked_to(live, next, input.overlap);
    for (size_t i = 0; i < live.size(); ++i) {
      const int64_t row = linked[static_cast<int64_t>(i)].item<int64_t>();
      if (row < 0) continue;
      if (track_of_row.at(static_cast<size_t>(row)) >= 0)
        throw RuntimeError("linker: expected every track to go on with a row of its own, got row " +
                           std::to_string(row) + " twice.");
      track_of_row[static_cast<size_t>(row)] = live[i];
      order.push_back(row);
    }
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    if (track_of_row[static_cast<size_t>(row)] >= 0) continue;
    track_of_row[static_cast<size_t>(row)] = num_tracks_++;
    order.push_back(row);
  }
  remember(next, track_of_row, order);
  TrackUpdate update;
  update.track_of_row = std::move(track_of_row);
  const std::vector<int64_t> live = live_tracks();
  const std::set<int64_t> still(live.begin(), live.end());
  std::copy_if(before.begin(), before.end(), std::back_inserter(update.ended),
               [&still](int64_t track) { return !still.contains(track); });
  return update;
}

void LinkedTracks::remember(const WindowTracks& next, const std::vector<int64_t>& track_of_row,
                            const std::vector<int64_t>& order) {
  const at::Tensor rows = at::tensor(order, at::kLong);
  const auto ordered = [&rows](const at::Tensor& x) {
    return x.defined() ? x.index_select(0, rows.to(x.device())) : x;
  };
  if (!linker_->remembers_windows()) windows_.clear();
  Window& window = windows_.emplace_back();
  window.rows.first_frame = next.first_frame;
  window.rows.embeddings = ordered(next.embeddings);
  window.rows.class_probabilities = ordered(next.class_probabilities);
  window.rows.mask_logits = ordered(next.mask_logits);
  for (const int64_t row : order) window.tracks.push_back(track_of_row[static_cast<size_t>(row)]);
}

}  // namespace

void LinkedTracker::Options::describe(Schema<Options>&) {}

LinkedTracker::LinkedTracker(const Options&, const BuildContext& context)
    : LinkedTracker(context.linker) {}

LinkedTracker::LinkedTracker(std::shared_ptr<const Linker> linker) : linker_(std::move(linker)) {
  if (!linker_)
    throw ConfigError(
        "inference.tracker: expected a linker for the tracker linked, got none. Set "
        "[inference.linker].");
}

std::unique_ptr<VideoTracker> LinkedTracker::begin() const {
  return std::make_unique<LinkedTracks>(linker_);
}

const PluginDescriptor& trackers::linked() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Tracker, LinkedTracker>(
      "linked", "Joins the rows of neighbouring windows with [inference.linker]");
  return kDescriptor;
}

}  // namespace tessera
