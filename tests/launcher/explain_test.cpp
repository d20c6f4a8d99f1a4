#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "launcher/inference/video_inference.h"
#include "launcher/visualisation/explain_view.h"
#include "tests/launcher/moving_square.h"

namespace tessera {
namespace {

using visualisation::draw_explanation;
using visualisation::ExplainedTrack;
using visualisation::FrameView;
using visualisation::view_query;

// Two frames of 32 x 48 pixels, padded to 32 x 64: 4 x 8 cells of 8 pixels.
ExplainedWindow window_of(int64_t queries) {
  ExplainedWindow window;
  window.length = 2;
  window.geometry = {32, 64, 32, 48, 32, 48};
  window.num_queries = queries;
  window.looked.attention = "decoder.layers.0.cross_attn";
  window.looked.num_frames = 2;
  window.looked.levels = {{0, 4, 8, 8}};
  window.looked.tokens = 4 * 8 + 3;  // and three tokens without a place
  return window;
}

TEST(ExplainView, PutsCellsWhereTheyAreInTheFrame) {
  ExplainedWindow window = window_of(2);
  window.looked.weights = at::zeros({1, 2, 2 * 35});
  window.looked.weights[0][1][35 + 2 * 8 + 5] = 0.75f;  // frame 1, row 2, column 5
  window.looked.weights[0][1][33] = 0.25f;              // a token of frame 0
  const std::vector<FrameView> views = view_query(window, 1, 0);
  ASSERT_EQ(views.size(), 2u);
  EXPECT_NEAR(views[0].share, 0.25, 1e-6);
  EXPECT_NEAR(views[1].share, 0.75, 1e-6);
  EXPECT_EQ(views[1].map.sizes(), (at::IntArrayRef{32, 48}));
  EXPECT_EQ(views[0].map.max().item<double>(), 0.0);
  const int64_t hottest = views[1].map.argmax().item<int64_t>();
  EXPECT_EQ(hottest / 48 / 8, 2);
  EXPECT_EQ(hottest % 48 / 8, 5);
  EXPECT_NEAR(views[1].map.sum().item<double>(), 0.75, 0.1);
  EXPECT_EQ(view_query(window, 0, 0)[1].share, 0.0);
}

TEST(ExplainView, AsksTheQueryOfTheFrameWhereTheDecoderHasThem) {
  ExplainedWindow window = window_of(3);
  window.looked.weights = at::zeros({1, 2 * 3, 2 * 35});
  window.looked.weights[0][1 * 3 + 2][0] = 1.0f;
  EXPECT_EQ(view_query(window, 2, /*own_frame=*/1)[0].share, 1.0);
  EXPECT_EQ(view_query(window, 2, /*own_frame=*/0)[0].share, 0.0);
  window.num_queries = 4;
  EXPECT_THROW(view_query(window, 0, 0), ShapeError);
}

TEST(ExplainView, SharesAPointBetweenTheFramesItReads) {
  ExplainedWindow window = window_of(1);
  window.looked.weights = at::tensor({0.8f, 0.2f}).view({1, 1, 1, 2});
  // A quarter of the way from frame 0 to frame 1; and outside of the frame.
  window.looked.locations =
      at::tensor({0.5f, 0.25f, 0.375f, 1.5f, 0.5f, 0.25f}).view({1, 1, 1, 2, 3});
  const std::vector<FrameView> views = view_query(window, 0, 0);
  EXPECT_NEAR(views[0].share, 0.8 * 0.75, 1e-6);
  EXPECT_NEAR(views[1].share, 0.8 * 0.25, 1e-6);
  EXPECT_TRUE(at::allclose(views[0].points, at::tensor({32.0f, 8.0f, 0.6f}).view({1, 3})));
  window.looked.locations = window.looked.locations.narrow(-1, 0, 2);
  EXPECT_THROW(view_query(window, 0, 0), ShapeError) << "points of a clip without a time";
}

TEST(ExplainView, KeepsPointsOfAFrameInIt) {
  ExplainedWindow window = window_of(1);
  window.looked.per_frame = true;
  window.looked.levels = {{0, 4, 8, 8}, {32, 2, 5, 16}};  // 64 and, rounded up, 80 pixels wide
  window.looked.weights = at::tensor({0.5f, 0.5f, 1.0f, 0.0f}).view({2, 1, 1, 2});
  window.looked.locations = at::full({2, 1, 1, 2, 2}, 0.5f);
  const std::vector<FrameView> views = view_query(window, 0, 0);
  EXPECT_EQ(views[0].points.size(0), 2);  // a point of each level
  EXPECT_TRUE(at::allclose(views[0].points.narrow(1, 0, 2),
                           at::tensor({32.0f, 16.0f, 40.0f, 16.0f}).view({2, 2})))
      << "a point lies on the map of its own level";
  EXPECT_EQ(views[1].points.size(0), 1);
  EXPECT_EQ(views[0].share, -1);
}

TEST(ExplainView, DrawsARowForEveryTrack) {
  FrameView hot, dotted;
  hot.map = at::zeros({32, 48});
  hot.map.narrow(0, 16, 8).narrow(1, 16, 8).fill_(1.0);
  dotted.points = at::tensor({24.0f, 16.0f, 1.0f}).view({1, 3});
  dotted.frame_width = 48;
  const at::Tensor frame = at::full({32, 48, 3}, 90, at::kByte);
  const at::Tensor mask = at::ones({32, 48}, at::kBool);
  const at::Tensor one =
      draw_explanation({frame, frame}, {0, 1}, {{"a", 0, {hot, hot}, {mask, {}}}}, "title");
  const at::Tensor two = draw_explanation(
      {frame, frame}, {0, 1},
      {{"a", 0, {hot, hot}, {mask, {}}}, {"b", 1, {dotted, dotted}, {{}, {}}}}, "title");
  EXPECT_EQ(one.size(1), two.size(1));
  EXPECT_GT(two.size(0), one.size(0) + 160);
  // Heat where the map is hot and nowhere else: 5 pixels of the picture to one of the frame.
  const at::Tensor tile = one.narrow(0, 24 + 6 + 24, 160).narrow(1, 6 + 240 + 6, 240);
  EXPECT_NE(tile[100][100][0].item<int>(), 90);
  EXPECT_EQ(tile[20][20][0].item<int>(), 90);
  // The second row: a point where it is, and no heat of the first.
  const at::Tensor second = two.narrow(0, one.size(0) + 24, 160).narrow(1, 6, 240);
  EXPECT_NE(second[80][120][0].item<int>(), 90);
  EXPECT_EQ(second[100][100][0].item<int>(), 90);
  // The outline where there is a mask, in frame 0 of the first row alone.
  const at::Tensor outlined = one.narrow(0, 24 + 6 + 24, 160).narrow(1, 6, 240);
  EXPECT_FALSE(outlined[0][120].equal(tile[0][120]));
  EXPECT_EQ(tile[0][120][0].item<int>(), 90);
  EXPECT_EQ(second[0][120][0].item<int>(), 90);
}

struct Watched {
  const char* experiment;
  const char* attention;  // the last layer's
  bool by_points;
  bool per_frame;
};

void PrintTo(const Watched& watched, std::ostream* out) {
  *out << watched.experiment;
}

class ExplainedModels : public testing::TestWithParam<Watched> {
 protected:
  ExplainedModels()
      : registry(Registry::default_search_paths()),
        experiment(load_experiment(
            std::string(TESSERA_SOURCE_DIR "/experiments/smoke/") + GetParam().experiment + ".toml",
            {}, registry)) {}
  VideoTracks run(ExplainedWindow* explained) {
    at::manual_seed(2);
    VisModel model(experiment.model, experiment.clip_facts());
    const data::InferenceVideo video = test_support::moving_square(7);
    return VideoInference(model, experiment.video_options(), at::kCPU).run(video, {}, explained);
  }
  Registry registry;
  Experiment experiment;
};

TEST_P(ExplainedModels, SayWhereTheirQueriesLook) {
  ExplainedWindow window;
  const VideoTracks found = run(&window);
  EXPECT_EQ(window.looked.attention, GetParam().attention);
  EXPECT_EQ(window.looked.locations.defined(), GetParam().by_points);
  EXPECT_EQ(window.looked.per_frame, GetParam().per_frame);
  ASSERT_GT(window.num_queries, 0);
  const std::vector<FrameView> views = view_query(window, window.num_queries - 1, 1);
  EXPECT_EQ(static_cast<int64_t>(views.size()), window.looked.num_frames);
  double shares = 0;
  for (const FrameView& view : views) {
    EXPECT_TRUE(view.map.defined() || view.points.defined());
    shares += view.share;
  }
  if (!GetParam().per_frame && !GetParam().by_points) {
    EXPECT_NEAR(shares, 1.0, 1e-4);
  }
  if (!GetParam().per_frame && GetParam().by_points) {
    EXPECT_GT(shares, 0.0);
    EXPECT_LE(shares, 1.0 + 1e-4);
  }
  // Nobody asks: the tracks are the same.
  const VideoTracks unwatched = run(nullptr);
  ASSERT_EQ(unwatched.tracks().size(), found.tracks().size());
  for (size_t i = 0; i < found.tracks().size(); ++i)
    EXPECT_EQ(unwatched.tracks()[i].score, found.tracks()[i].score);
}

TEST_P(ExplainedModels, TellOfTheLayerAskedFor) {
  ExplainedWindow first{.layer = 0}, none{.layer = 99};
  run(&first);
  EXPECT_EQ(first.looked.attention, "decoder.layers.0.cross_attn");
  EXPECT_THROW(run(&none), ConfigError);
}

INSTANTIATE_TEST_SUITE_P(
    Smoke, ExplainedModels,
    testing::Values(Watched{"vistr", "decoder.layers.1.cross_attn", false, false},
                    Watched{"deformable_vistr", "decoder.layers.1.cross_attn", true, false},
                    Watched{"simvtr", "decoder.layers.1.cross_attn", false, false},
                    Watched{"mask2former_vis", "decoder.layers.1.cross_attn", false, false},
                    Watched{"mssts", "decoder.layers.1.cross_attn", true, true},
                    Watched{"ifc", "decoder.layers.1.cross_attn", false, false}),
    [](const auto& info) { return std::string(info.param.experiment); });

}  // namespace
}  // namespace tessera
