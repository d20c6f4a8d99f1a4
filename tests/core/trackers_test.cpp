// The trackers that live in core.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "core/plugin/registry.h"
#include "core/trackers/linked.h"

namespace tessera {
namespace {

using Ids = std::vector<int64_t>;

/// Joins rows by what the test says: class_probabilities [Q,1] hold a name for each row.
class ByName : public Linker {
 public:
  at::Tensor cost(const WindowTracks& before, const WindowTracks& next, int64_t) const override {
    return (before.class_probabilities != next.class_probabilities.t()).to(at::kFloat);
  }
  double largest_cost() const override { return 0.5; }
};

/// Compares names with all windows that share frames.
class ByNameRemembering final : public ByName {
 public:
  bool remembers_windows() const override { return true; }
};

TrackerInput named(const std::vector<double>& names) {
  TrackerInput input;
  input.num_frames = 1;
  input.rows.class_probabilities = at::tensor(names).unsqueeze(1);
  return input;
}

TEST(LinkedTracker, KeepsIdentitiesThroughOtherOrdersBirthsAndDeaths) {
  const auto tracks = LinkedTracker(std::make_shared<ByName>()).begin();
  EXPECT_EQ(tracks->update(named({5, 6, 7})).track_of_row, (Ids{0, 1, 2}));
  EXPECT_EQ(tracks->update(named({7, 5, 6})).track_of_row, (Ids{2, 0, 1}));
  const TrackUpdate third = tracks->update(named({6, 8, 7}));
  EXPECT_EQ(third.track_of_row, (Ids{1, 3, 2}));  // 5 is gone, 8 is new
  EXPECT_EQ(third.ended, Ids{0});
  const TrackUpdate fourth = tracks->update(named({5, 7, 8}));
  EXPECT_EQ(fourth.track_of_row, (Ids{4, 2, 3}));  // what was gone begins anew
  EXPECT_EQ(fourth.ended, Ids{1});
}

/// Notes the tensors of the windows before, without keeping them.
class Noting final : public ByName {
 public:
  explicit Noting(std::vector<c10::weak_intrusive_ptr<at::TensorImpl>>& noted) : noted_(noted) {}
  at::Tensor cost(const WindowTracks& before, const WindowTracks& next,
                  int64_t overlap) const override {
    noted_.emplace_back(before.class_probabilities.getIntrusivePtr());
    return ByName::cost(before, next, overlap);
  }

 private:
  std::vector<c10::weak_intrusive_ptr<at::TensorImpl>>& noted_;
};

TEST(LinkedTracker, KeepsNoWindowThatItsLinkerNoLongerCompares) {
  std::vector<c10::weak_intrusive_ptr<at::TensorImpl>> noted;
  const auto tracks = LinkedTracker(std::make_shared<Noting>(noted)).begin();
  for (int window = 0; window < 4; ++window) tracks->update(named({5, 6}));
  ASSERT_EQ(noted.size(), 3u);
  for (const auto& before : noted) EXPECT_TRUE(before.expired());
}

TEST(LinkedTracker, BringsATrackBackThatAWindowLacked) {
  const auto tracks = LinkedTracker(std::make_shared<ByNameRemembering>()).begin();
  const auto add = [&tracks](int64_t first_frame, const std::vector<double>& names) {
    TrackerInput input = named(names);
    input.num_frames = 3;
    input.overlap = 2;
    input.rows.first_frame = first_frame;
    input.rows.mask_logits = at::zeros({static_cast<int64_t>(names.size()), 3, 1, 1});
    return tracks->update(input);
  };
  EXPECT_EQ(add(0, {5, 6}).track_of_row, (Ids{0, 1}));
  TrackUpdate update = add(1, {6});
  EXPECT_EQ(update.track_of_row, (Ids{1}));
  EXPECT_EQ(update.ended, Ids{});
  EXPECT_EQ(add(2, {6, 5}).track_of_row, (Ids{1, 0}));  // frame 2 is in the first window, too
  EXPECT_EQ(add(3, {6}).track_of_row, (Ids{1}));
  EXPECT_EQ(add(4, {}).track_of_row, Ids{});
  update = add(5, {5, 6});
  EXPECT_EQ(update.track_of_row, (Ids{2, 1}));  // no window with frame 5 holds track 0
  EXPECT_EQ(update.ended, Ids{0});
}

/// Squared distance of embeddings; far ones are not joined.
class ByDistance final : public Linker {
 public:
  at::Tensor cost(const WindowTracks& before, const WindowTracks& next, int64_t) const override {
    return at::cdist(before.embeddings, next.embeddings).square();
  }
  double largest_cost() const override { return 1.5; }
};

/// What versions up to 0.1 did with a linker, written plainly: the rows of the window before, first
/// those that went on, in the order of their tracks' rows before, then the new ones.
class PlainChain {
 public:
  Ids add(const WindowTracks& next) {
    const int64_t num_rows = next.class_probabilities.size(0);
    Ids track_of_row(static_cast<size_t>(num_rows), -1);
    std::vector<std::pair<int64_t, int64_t>> order;  // track, row
    if (!tracks_.empty()) {
      const at::Tensor row_of_track = linker_.link(before_, next, 0);
      for (size_t i = 0; i < tracks_.size(); ++i) {
        const auto row = row_of_track[static_cast<int64_t>(i)].item<int64_t>();
        if (row < 0) continue;
        track_of_row[static_cast<size_t>(row)] = tracks_[i];
        order.emplace_back(tracks_[i], row);
      }
    }
    for (int64_t row = 0; row < num_rows; ++row) {
      if (track_of_row[static_cast<size_t>(row)] >= 0) continue;
      track_of_row[static_cast<size_t>(row)] = count_;
      order.emplace_back(count_++, row);
    }
    Ids rows;
    tracks_.clear();
    for (const auto& [track, row] : order) {
      tracks_.push_back(track);
      rows.push_back(row);
    }
    const at::Tensor index = at::tensor(rows, at::kLong);
    before_.embeddings = next.embeddings.index_select(0, index);
    before_.class_probabilities = next.class_probabilities.index_select(0, index);
    return track_of_row;
  }

 private:
  ByDistance linker_;
  WindowTracks before_;
  Ids tracks_;
  int64_t count_ = 0;
};

TEST(LinkedTracker, GivesTheTracksOfVersion01) {
  at::manual_seed(8);
  for (int video = 0; video < 10; ++video) {
    const auto tracks = LinkedTracker(std::make_shared<ByDistance>()).begin();
    PlainChain plain;
    std::set<int64_t> live, ended;
    size_t births = 0, deaths = 0;
    for (int window = 0; window < 12; ++window) {
      const int64_t rows = at::randint(7, {1}).item<int64_t>();  // none now and then
      TrackerInput input;
      input.num_frames = 1;
      input.rows.embeddings = at::randn({rows, 2});
      input.rows.class_probabilities = at::rand({rows, 3});
      const TrackUpdate update = tracks->update(input);
      ASSERT_EQ(update.track_of_row, plain.add(input.rows));
      for (const int64_t track : update.ended) EXPECT_TRUE(ended.insert(track).second);
      const std::set<int64_t> now(update.track_of_row.begin(), update.track_of_row.end());
      EXPECT_EQ(now.size(), update.track_of_row.size());
      for (const int64_t track : live) EXPECT_NE(now.contains(track), ended.contains(track));
      for (const int64_t track : now) births += live.contains(track) ? 0 : 1;
      deaths += update.ended.size();
      live = now;
    }
    EXPECT_GT(births, 5u);
    EXPECT_GT(deaths, 0u);
  }
}

std::shared_ptr<Tracker> make(const std::string& name, const BuildContext& context) {
  Registry registry({});
  PluginOf<Tracker> choice(name.c_str());
  ReadContext reading(&registry);
  config_detail::read_plugin(choice, Tracker::kKind, ConfigNode(), "inference.tracker", reading);
  reading.throw_if_failed();
  return context.make(choice);
}

TEST(LinkedTracker, NeedsALinkerAndAsksForWhatItNeeds) {
  BuildContext context;
  EXPECT_THROW(make("linked", context), ConfigError);
  class Masks final : public Linker {
    bool wants_masks() const override { return true; }
    int64_t needed_overlap() const override { return 3; }
    at::Tensor cost(const WindowTracks&, const WindowTracks&, int64_t) const override { return {}; }
    double largest_cost() const override { return 0; }
  };
  context.linker = std::make_shared<Masks>();
  const auto tracker = make("linked", context);
  EXPECT_TRUE(tracker->wants_masks());
  EXPECT_FALSE(tracker->wants_masks_of_single_window());
  EXPECT_EQ(tracker->needed_overlap(), 3);
}

TEST(RowTracker, GivesEveryQueryItsTrackAndEveryVideoItsOwn) {
  const auto tracker = make("row", {});
  EXPECT_FALSE(tracker->wants_masks());
  EXPECT_EQ(tracker->needed_overlap(), 0);
  const auto tracks = tracker->begin();
  EXPECT_EQ(tracks->update(named({1, 1, 1})).track_of_row, (Ids{0, 1, 2}));
  const TrackUpdate second = tracks->update(named({3, 2, 1}));
  EXPECT_EQ(second.track_of_row, (Ids{0, 1, 2}));
  EXPECT_TRUE(second.ended.empty());
  EXPECT_TRUE(second.discarded.empty());
  // Where some queries are left out, a query still keeps its track.
  const auto some = tracker->begin();
  TrackerInput input = named({1, 1});
  input.queries = {4, 7};
  EXPECT_EQ(some->update(input).track_of_row, (Ids{0, 1}));
  input = named({1, 1, 1});
  input.queries = {2, 4, 7};
  EXPECT_EQ(some->update(input).track_of_row, (Ids{2, 0, 1}));
  input.queries = {1};
  EXPECT_THROW(some->update(input), RuntimeError);
}

}  // namespace
}  // namespace tessera
