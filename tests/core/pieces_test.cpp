// Clips as pieces of some frames, and back.

#include "core/structures/pieces.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace tessera {
namespace {

constexpr int64_t kClips = 2, kFrames = 6, kQueries = 3, kDim = 4;

at::Tensor random_leaf(at::IntArrayRef sizes) {
  return at::randn(sizes).set_requires_grad(true);
}

Memory memory_of_clips() {
  Memory memory;
  memory.tokens = random_leaf({kClips, kFrames, 5, kDim});
  memory.padding_mask = at::rand({kClips, kFrames, 5}) > 0.5;
  memory.valid_ratio = at::rand({kClips, kFrames, 1, 2});
  memory.position = at::randn({kClips, kFrames, 5, kDim});
  memory.pixel_features = random_leaf({kClips, kFrames, 3, 8, 8});
  memory.rotation = at::randn({2, 4, kDim});
  memory.levels = {{0, 2, 2, 32}};
  memory.prefix = 1;
  return memory;
}

/// Masks that are just there, [B,Q,T,h,w].
class MasksInOrder final : public MaskSource {
 public:
  explicit MasksInOrder(at::Tensor logits) : logits_(std::move(logits)) {}
  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    return logits_.select(0, clip).index_select(0, rows);
  }

 private:
  at::Tensor logits_;
};

TEST(Pieces, OfAMemoryAreViewsOfAllItsTensors) {
  const Memory whole = memory_of_clips();
  const Memory pieces = in_pieces(whole, 2);
  EXPECT_EQ(pieces.tokens.sizes(), at::IntArrayRef({6, 2, 5, kDim}));
  for (int64_t clip = 0; clip < kClips; ++clip)
    for (int64_t piece = 0; piece < 3; ++piece) {
      const int64_t index = 3 * clip + piece;
      EXPECT_TRUE(pieces.tokens[index].equal(whole.tokens[clip].narrow(0, 2 * piece, 2)));
      EXPECT_TRUE(
          pieces.pixel_features[index].equal(whole.pixel_features[clip].narrow(0, 2 * piece, 2)));
      EXPECT_TRUE(
          pieces.padding_mask[index].equal(whole.padding_mask[clip].narrow(0, 2 * piece, 2)));
    }
  // All tensors: a member that were forgotten would keep its old sizes.
  Memory every = pieces;
  for_each_tensor(every, [](const at::Tensor& tensor, Leading leading) {
    ASSERT_TRUE(tensor.defined());
    if (leading == Leading::frames) {
      EXPECT_EQ(tensor.sizes().slice(0, 2), at::IntArrayRef({6, 2}));
    }
  });
  EXPECT_TRUE(pieces.rotation.is_same(whole.rotation));
  EXPECT_EQ(pieces.prefix, 1);
  EXPECT_EQ(pieces.tokens.data_ptr(), whole.tokens.data_ptr());
  EXPECT_EQ(pieces.pixel_features.data_ptr(), whole.pixel_features.data_ptr());

  (pieces.tokens[4] * 3).sum().backward();  // clip 1, frames 2 and 3
  const at::Tensor gradient = whole.tokens.grad();
  EXPECT_TRUE((gradient[1].narrow(0, 2, 2) == 3).all().item<bool>());
  EXPECT_EQ(gradient.sum().item<double>(), 3.0 * 2 * 5 * kDim);
}

TEST(Pieces, OfAPyramidKeepTheRotation) {
  FeaturePyramid whole;
  whole.levels = {{at::randn({kClips, kFrames, 3, 4, 6}),
                   at::zeros({kClips, kFrames, 4, 6}, at::kBool), 4,
                   at::randn({kClips, kFrames, 2, 3})}};
  whole.padding_mask = at::zeros({kClips, kFrames, 16, 24}, at::kBool);
  whole.rotation = at::randn({2, 24, 8});
  const FeaturePyramid pieces = in_pieces(whole, 3);
  EXPECT_EQ(pieces.levels[0].features.sizes(), at::IntArrayRef({4, 3, 3, 4, 6}));
  EXPECT_TRUE(pieces.levels[0].prefix[3].equal(whole.levels[0].prefix[1].narrow(0, 3, 3)));
  EXPECT_EQ(pieces.padding_mask.sizes(), at::IntArrayRef({4, 3, 16, 24}));
  EXPECT_TRUE(pieces.rotation.is_same(whole.rotation));
}

TEST(Pieces, MustFillTheClip) {
  EXPECT_THROW(in_pieces(memory_of_clips(), 4), RuntimeError);
  EXPECT_THROW(in_pieces(memory_of_clips(), 0), RuntimeError);
}

TEST(Pieces, OfEmbeddingsRepeatTheClipsAndCutTheFrames) {
  InstanceEmbeddings whole;
  whole.layers.push_back({random_leaf({kClips, kQueries, kDim}),
                          random_leaf({kClips, kFrames, kQueries, kDim}), at::Tensor()});
  whole.layers[0].row_before =
      at::arange(kClips * kFrames * kQueries).view({kClips, kFrames, kQueries});
  const InstanceLayer pieces = in_pieces(whole, 2).layers[0];
  EXPECT_EQ(pieces.clip.sizes(), at::IntArrayRef({6, kQueries, kDim}));
  for (int64_t index = 0; index < 6; ++index) {
    EXPECT_TRUE(pieces.clip[index].equal(whole.layers[0].clip[index / 3]));
    EXPECT_TRUE(
        pieces.frame[index].equal(whole.layers[0].frame[index / 3].narrow(0, 2 * (index % 3), 2)));
  }
  EXPECT_EQ(pieces.row_before.sizes(), at::IntArrayRef({6, 2, kQueries}));
  pieces.clip.sum().backward();
  EXPECT_TRUE((whole.layers[0].clip.grad() == 3).all().item<bool>());

  InstanceEmbeddings of_clips;
  of_clips.layers.push_back({at::randn({kClips, kQueries, kDim}), at::Tensor(), at::Tensor()});
  EXPECT_THROW(in_pieces(of_clips, 2), RuntimeError);
  EXPECT_EQ(in_pieces(of_clips, 2, kFrames).layers[0].clip.size(0), 6);
}

TEST(Pieces, OfOneFrameAreJoinedAgain) {
  const Memory whole = memory_of_clips();
  Memory again = frames_joined(in_pieces(whole, 1), kFrames);
  Memory expected = whole;
  std::vector<at::Tensor> goals;
  for_each_tensor(expected, [&](const at::Tensor& tensor, Leading) { goals.push_back(tensor); });
  size_t next = 0;
  for_each_tensor(again, [&](const at::Tensor& tensor, Leading) {
    EXPECT_TRUE(tensor.equal(goals.at(next++)));
  });

  InstanceEmbeddings apart;
  apart.layers.push_back({at::randn({kClips * kFrames, kQueries, kDim}), at::Tensor(),
                          at::rand({kClips * kFrames, 1, kQueries, 2})});
  const InstanceLayer joined = frames_joined(apart, kFrames).layers[0];
  EXPECT_FALSE(joined.clip.defined());
  EXPECT_TRUE(joined.frame[1][2].equal(apart.layers[0].clip[kFrames + 2]));
  EXPECT_TRUE(joined.references[1][2].equal(apart.layers[0].references[kFrames + 2][0]));

  apart.layers[0].frame = at::randn({kClips * kFrames, 1, kQueries, kDim});
  EXPECT_THROW(frames_joined(apart, kFrames), RuntimeError);
}

/// Instance 0 in all frames, instance 1 in frame 3 only, instance 2 in none.
Targets targets_of_a_clip() {
  ClipTargets target;
  target.labels = at::tensor({int64_t{5}, int64_t{6}, int64_t{7}});
  target.boxes = at::rand({3, 4, 4});
  target.masks = at::rand({3, 4, 8, 6}) > 0.5;
  target.valid = at::zeros({3, 4}, at::kBool);
  target.valid[0].fill_(true);
  target.valid[1][3] = true;
  target.height = 7;
  target.width = 6;
  target.random_key = 9;
  return {target, target};
}

TEST(Pieces, OfTargetsDropAbsentInstancesOrKeepThem) {
  const Targets whole = targets_of_a_clip();
  const Targets present = in_pieces(whole, 2, /*keep_absent=*/false);
  ASSERT_EQ(present.size(), 4u);
  EXPECT_EQ(present[0].num_instances(), 1);
  EXPECT_EQ(present[1].num_instances(), 2);
  EXPECT_TRUE(present[1].labels.equal(at::tensor({int64_t{5}, int64_t{6}})));
  EXPECT_TRUE(present[1].instance.equal(at::tensor({int64_t{0}, int64_t{1}})));
  EXPECT_TRUE(present[1].masks.equal(whole[0].masks.narrow(0, 0, 2).narrow(1, 2, 2)));
  EXPECT_TRUE(present[1].boxes.equal(whole[0].boxes.narrow(0, 0, 2).narrow(1, 2, 2)));
  EXPECT_EQ(present[3].clip, 1);
  EXPECT_EQ(present[3].piece, 1);
  EXPECT_EQ(present[1].height, 7);

  const Targets all = in_pieces(whole, 2, /*keep_absent=*/true);
  EXPECT_EQ(all[0].num_instances(), 3);
  EXPECT_TRUE(all[0].instance.equal(at::arange(3)));
  EXPECT_EQ(all[0].valid.sum().item<int64_t>(), 2);
  EXPECT_EQ(all[2].masks.data_ptr(), whole[1].masks.data_ptr());  // a view

  // The points of the pieces of a clip are not the same.
  EXPECT_EQ(present[0].random_key, 9u);
  EXPECT_NE(present[1].random_key, 9u);
  EXPECT_NE(present[1].random_key, 0u);
}

LayerPrediction prediction_of_pieces(int64_t pieces, int64_t frames) {
  LayerPrediction prediction;
  prediction.classes.logits = at::randn({pieces, kQueries, 5});
  prediction.boxes = at::rand({pieces, frames, kQueries, 4});
  prediction.identity = at::randn({pieces, kQueries, 2});
  prediction.masks = std::make_shared<MasksInOrder>(at::randn({pieces, kQueries, frames, 4, 6}));
  return prediction;
}

TEST(Pieces, OfPredictionsAreRejoinedToClips) {
  const LayerPrediction pieces = prediction_of_pieces(6, 2);
  const LayerPrediction whole = rejoined(pieces, 3);
  const at::Tensor rows = at::tensor({int64_t{2}, int64_t{0}});
  EXPECT_TRUE(whole.classes.logits[1].allclose(pieces.classes.logits.narrow(0, 3, 3).mean(0)));
  EXPECT_TRUE(whole.identity[0].allclose(pieces.identity.narrow(0, 0, 3).mean(0)));
  EXPECT_TRUE(whole.boxes[1].narrow(0, 2, 2).equal(pieces.boxes[4]));
  const at::Tensor masks = whole.masks->logits(1, rows);
  EXPECT_EQ(masks.sizes(), at::IntArrayRef({2, 6, 4, 6}));
  EXPECT_TRUE(masks.narrow(1, 4, 2).equal(pieces.masks->logits(5, rows)));
  const at::Tensor points = at::rand({2, 6, 3, 2});
  EXPECT_TRUE(whole.masks->logits_at(1, rows, points)
                  .narrow(1, 2, 2)
                  .equal(pieces.masks->logits_at(4, rows, points.narrow(1, 2, 2))));
  EXPECT_TRUE(whole.masks->resized(0, rows, 8, 8)
                  .narrow(1, 0, 2)
                  .equal(pieces.masks->resized(0, rows, 8, 8)));

  LayerPrediction per_frame = pieces;
  per_frame.classes.scope = ClassScope::frame;
  per_frame.classes.logits = at::randn({6, 2, kQueries, 5});
  EXPECT_TRUE(rejoined(per_frame, 3).classes.logits[1][3].equal(per_frame.classes.logits[4][1]));
}

TEST(Pieces, OfPredictionsAreReordered) {
  const LayerPrediction before = prediction_of_pieces(2, 3);
  const at::Tensor rows = at::tensor({int64_t{1}, int64_t{1}, int64_t{0}, int64_t{2}, int64_t{0},
                                      int64_t{1}, int64_t{2}, int64_t{2}})
                              .view({2, 4});
  const LayerPrediction after = reordered(before, rows);
  EXPECT_EQ(after.boxes.sizes(), at::IntArrayRef({2, 3, 4, 4}));
  for (int64_t piece = 0; piece < 2; ++piece)
    for (int64_t row = 0; row < 4; ++row) {
      const int64_t from = rows[piece][row].item<int64_t>();
      EXPECT_TRUE(after.classes.logits[piece][row].equal(before.classes.logits[piece][from]));
      EXPECT_TRUE(after.boxes[piece].select(1, row).equal(before.boxes[piece].select(1, from)));
      EXPECT_TRUE(after.identity[piece][row].equal(before.identity[piece][from]));
      EXPECT_TRUE(after.masks->logits(piece, at::tensor({row}))
                      .equal(before.masks->logits(piece, at::tensor({from}))));
    }
  at::Tensor negative = rows.clone();
  negative[1][1] = -1;
  EXPECT_THROW(reordered(before, negative), RuntimeError);
}

TEST(Pieces, StackedFramesAreOneTallImage) {
  const LayerPrediction flat = prediction_of_pieces(2, 3);
  const LayerPrediction tall = stacked(flat, 3);
  const at::Tensor rows = at::arange(kQueries);
  const at::Tensor masks = tall.masks->logits(1, rows);
  EXPECT_EQ(masks.sizes(), at::IntArrayRef({kQueries, 1, 12, 6}));
  EXPECT_TRUE(masks.squeeze(1).narrow(1, 8, 4).equal(flat.masks->logits(1, rows).select(1, 2)));
  EXPECT_FALSE(tall.boxes.defined());
  // A point in the middle of the second frame of three.
  const at::Tensor middle = at::full({kQueries, 1, 1, 2}, 0.5);
  EXPECT_TRUE(
      tall.masks->logits_at(1, rows, middle)
          .allclose(
              flat.masks->logits_at(1, rows, at::full({kQueries, 3, 1, 2}, 0.5)).narrow(1, 1, 1)));
  EXPECT_THROW(stacked(flat, 2).masks->logits(0, rows), ShapeError);

  const Targets targets = stacked(targets_of_a_clip());
  EXPECT_EQ(targets[0].masks.sizes(), at::IntArrayRef({3, 1, 32, 6}));
  EXPECT_TRUE(targets[0].valid.equal((at::arange(3) < 2).unsqueeze(1)));
}

}  // namespace
}  // namespace tessera
