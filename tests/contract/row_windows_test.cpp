// Systems that remember, in small: a video in three windows gives what one window gives, a new
// video starts fresh, and a tracker loses a track and finds it again.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/structures/pieces.h"
#include "launcher/inference/video_inference.h"
#include "tests/contract/mock_system.h"
#include "tests/launcher/moving_square.h"
#include "tests/support/make_plugin.h"

namespace tessera::row_windows_test {
namespace {

using test_support::MockSystem;
using test_support::moving_square;

/// Some frames of a pyramid. out: views.
FeaturePyramid frames_of(FeaturePyramid pyramid, int64_t first, int64_t count) {
  for_each_tensor(pyramid, [&](at::Tensor& tensor, Leading leading) {
    if (tensor.defined() && leading == Leading::frames) tensor = tensor.narrow(1, first, count);
  });
  return pyramid;
}

/// The last layer of the last stage over all windows of three frames of a clip.
at::Tensor in_windows(VisModel& model, const FeaturePyramid& pyramid, const ForwardContext& context,
                      std::vector<VideoState>* last_states = nullptr) {
  std::vector<VideoState> states;
  std::vector<at::Tensor> parts;
  for (int64_t first = 0; first < 9; first += 3) {
    std::vector<std::vector<at::Tensor>> before;
    for (const VideoState& state : states) {
      before.emplace_back();
      for (const at::Tensor& tensor : state.tensors) before.back().push_back(tensor.clone());
    }
    const VisModel::Output output =
        model.predict(frames_of(pyramid, first, 3), context, first == 0 ? nullptr : &states);
    for (size_t i = 0; i < before.size(); ++i)
      for (size_t j = 0; j < before[i].size(); ++j)
        EXPECT_TRUE(states[i].tensors[j].equal(before[i][j])) << "a state was changed in place";
    parts.push_back(output.last().embeddings.layers.back().frame);
    states = output.states;
    for (const VideoState& state : states)
      for (const at::Tensor& tensor : state.tensors) EXPECT_EQ(tensor.scalar_type(), at::kFloat);
  }
  if (last_states) *last_states = states;
  return at::cat(parts, 1);
}

class RowWindows : public testing::TestWithParam<const char*> {
 protected:
  RowWindows() : system_(GetParam()) {
    system_.model.eval();
    system_.batch = noise_clip({9, 32, 64}, 8, 2);
  }
  MockSystem system_;
  at::NoGradGuard no_grad_;
};

TEST_P(RowWindows, GiveWhatOneWindowGives) {
  for (const std::optional<at::ScalarType> type :
       {std::optional<at::ScalarType>(), std::optional<at::ScalarType>(at::kBFloat16)}) {
    ForwardContext context;
    context.autocast = type;
    const FeaturePyramid pyramid = system_.model.features(system_.batch, context);
    const at::Tensor whole =
        system_.model.predict(pyramid, context).last().embeddings.layers.back().frame;
    std::vector<VideoState> states;
    const at::Tensor parts = in_windows(system_.model, pyramid, context, &states);
    ASSERT_EQ(parts.sizes(), whole.sizes());
    // A state that autocast rounds at a window's edges, or inside windows only, differs by 4e-3.
    EXPECT_LT((parts - whole).abs().max().item<double>(), type ? 1e-3 : 1e-5);
    EXPECT_EQ(states.back().frames, 9);
    // A video that starts after another one is what it was alone.
    EXPECT_TRUE(in_windows(system_.model, pyramid, context).equal(parts));
  }
}

// The first window alone is not enough: the later frames depend on what came before.
TEST_P(RowWindows, DependOnTheWindowsBefore) {
  const FeaturePyramid pyramid = system_.model.features(system_.batch, {});
  const at::Tensor whole = system_.model.predict(pyramid, {}).last().embeddings.layers.back().frame;
  const at::Tensor alone =
      system_.model.predict(frames_of(pyramid, 3, 3), {}).last().embeddings.layers.back().frame;
  EXPECT_FALSE(at::allclose(alone, whole.narrow(1, 3, 3), 1e-3, 1e-3));
}

INSTANTIATE_TEST_SUITE_P(Systems, RowWindows,
                         testing::Values("videomt", "pmt", "dvis_online", "dvis_plus", "genvis"),
                         [](const auto& info) { return std::string(info.param); });

struct Found {
  std::vector<ScoredTrack> tracks;
  std::vector<std::vector<std::optional<data::Rle>>> masks;
};

Found found_in(const VideoInference& inference, int64_t frames) {
  const VideoTracks tracks = inference.run(moving_square(frames));
  Found found{tracks.tracks(), {}};
  for (const ScoredTrack& track : found.tracks) found.masks.push_back(tracks.masks(track));
  return found;
}

void expect_same_tracks(const Found& a, const Found& b) {
  ASSERT_EQ(a.tracks.size(), b.tracks.size());
  for (size_t i = 0; i < a.tracks.size(); ++i) {
    EXPECT_EQ(a.tracks[i].id, b.tracks[i].id);
    EXPECT_EQ(a.tracks[i].category, b.tracks[i].category);
    EXPECT_NEAR(a.tracks[i].score, b.tracks[i].score, 1e-4);
    size_t different = 0;
    for (size_t t = 0; t < a.masks[i].size(); ++t) different += a.masks[i][t] != b.masks[i][t];
    EXPECT_LE(different, 1u);  // rounding may turn a pixel
  }
}

class RowVideos : public testing::TestWithParam<const char*> {};

TEST_P(RowVideos, GiveTheSameTracksInWindowsAndInChunks) {
  const auto found = [](const std::vector<std::string>& overrides) {
    MockSystem system(GetParam(), overrides);
    const VideoInference inference(system.model, system.experiment.video_options(), at::kCPU);
    const Found first = found_in(inference, 9);
    EXPECT_FALSE(first.tracks.empty());
    for (const auto& masks : first.masks) EXPECT_EQ(masks.size(), 9u);
    found_in(inference, 5);  // another video, whose last window is shorter
    expect_same_tracks(found_in(inference, 9), first);
    return first;
  };
  const Found windows = found({});
  // What a backbone gives a few frames at a time has all of its tensors.
  expect_same_tracks(found({"inference.backbone_frames=2"}), windows);
  if (std::string(GetParam()) == "ctvis") return;  // its tracker sees each window by itself
  expect_same_tracks(found({"inference.window=9"}), windows);
  expect_same_tracks(found({"inference.window=all"}), windows);
}

INSTANTIATE_TEST_SUITE_P(Systems, RowVideos,
                         testing::Values("videomt", "pmt", "dvis_online", "dvis_offline",
                                         "dvis_plus", "ctvis", "vita", "genvis"),
                         [](const auto& info) { return std::string(info.param); });

TEST(RowVideo, RefusesWindowsThatShowAStateItsFramesTwice) {
  MockSystem system("videomt", {"inference.overlap=1"});
  try {
    VideoInference(system.model, system.experiment.video_options(), at::kCPU).run(moving_square(9));
    FAIL() << "expected an error";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("overlap"));
  }
}

/// A window of rows with these identities; all are good objects.
TrackerInput rows_like(const std::vector<std::vector<float>>& identities) {
  TrackerInput input;
  std::vector<at::Tensor> rows;
  for (const auto& identity : identities) rows.push_back(at::tensor(identity));
  input.identity = at::stack(rows);
  // The first row is the surest.
  input.rows.class_probabilities =
      (0.8 - 0.1 * at::arange(input.identity.size(0))).unsqueeze(1).expand({-1, 2});
  input.num_frames = 1;
  return input;
}

TEST(RowTracker, LosesATrackFindsItAgainAndEndsIt) {
  Registry registry = test_support::registry_with_mocks();
  PluginOf<Tracker> choice("mock_bank");
  choice.descriptor = &registry.find("tracker", "mock_bank");
  choice.options = choice.descriptor->make_options();
  const auto tracker = BuildContext().make(choice);
  const auto video = tracker->begin();
  using Tracks = std::vector<int64_t>;
  const std::vector<float> red{1, 0, 0}, blue{0, 1, 0}, green{0, 0, 1};
  EXPECT_EQ(video->update(rows_like({red, blue})).track_of_row, (Tracks{0, 1}));
  EXPECT_EQ(video->update(rows_like({blue})).track_of_row, Tracks{1});  // red is out of sight
  const TrackUpdate back = video->update(rows_like({green, red}));
  EXPECT_EQ(back.track_of_row, (Tracks{2, 0}));  // green is born, red is back
  EXPECT_TRUE(back.ended.empty());
  for (int window = 0; window < 2; ++window)
    EXPECT_TRUE(video->update(rows_like({red})).ended.empty()) << window;
  EXPECT_EQ(video->update(rows_like({red})).ended, Tracks{1});  // blue was away for four windows
  const TrackUpdate later = video->update(rows_like({red, blue}));
  EXPECT_EQ(later.track_of_row.at(0), 0);
  EXPECT_EQ(later.track_of_row.at(1), 3);  // another blue track
  // Another video knows nothing of it.
  EXPECT_EQ(tracker->begin()->update(rows_like({blue, red})).track_of_row, (Tracks{0, 1}));
}

}  // namespace
}  // namespace tessera::row_windows_test
