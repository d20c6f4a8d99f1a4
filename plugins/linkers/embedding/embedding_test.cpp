#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/interfaces/linker.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

WindowTracks tracks_of(const at::Tensor& embeddings) {
  WindowTracks tracks;
  tracks.embeddings = embeddings;
  tracks.class_probabilities = at::full({embeddings.size(0), 3}, 0.2);
  return tracks;
}

/// Masks of two frames, each one column wide.
at::Tensor columns(const std::vector<int64_t>& column_of_track) {
  at::Tensor logits =
      at::full({static_cast<int64_t>(column_of_track.size()), 2, 4, 6}, -1.0, at::kFloat);
  for (size_t i = 0; i < column_of_track.size(); ++i)
    logits[static_cast<int64_t>(i)].select(2, column_of_track[i]).fill_(1.0);
  return logits;
}

TEST(EmbeddingLinker, CostIsOneMinusTheCosineWhateverTheLength) {
  const auto linker = make_plugin<Linker>("embedding", "");
  const at::Tensor a = at::tensor({1.0, 0.0, 0.0, 2.0}).view({2, 2});
  const at::Tensor b = at::tensor({0.0, 5.0, -3.0, 0.0, 1.0, 1.0}).view({3, 2});
  const at::Tensor cost = linker->cost(tracks_of(a), tracks_of(b), 0);
  const double diagonal = 1 - std::sqrt(0.5);
  EXPECT_TRUE(at::allclose(cost, at::tensor({1.0, 2.0, diagonal, 0.0, 1.0, diagonal}).view({2, 3}),
                           1e-6, 1e-6));
  EXPECT_FALSE(linker->wants_masks());
  EXPECT_EQ(linker->needed_overlap(), 0);
}

// The nearest of each is the same row; the assignment gives both a row of their own.
TEST(EmbeddingLinker, AssignsAllTracksTogether) {
  const auto linker = make_plugin<Linker>("embedding", "");
  const at::Tensor a = at::tensor({1.0, 0.1, 1.0, -0.5}).view({2, 2});
  const at::Tensor b = at::tensor({1.0, 0.0, 0.0, -1.0}).view({2, 2});
  EXPECT_TRUE(
      at::equal(linker->link(tracks_of(a), tracks_of(b), 0), at::tensor({int64_t{0}, int64_t{1}})));
}

TEST(EmbeddingLinker, JoinsAllUnlessALikenessIsAskedFor) {
  const at::Tensor a = at::tensor({1.0, 0.0}).view({1, 2}), b = -a;
  EXPECT_EQ(
      make_plugin<Linker>("embedding", "")->link(tracks_of(a), tracks_of(b), 0)[0].item<int64_t>(),
      0);
  EXPECT_EQ(make_plugin<Linker>("embedding", "minimum_similarity = 0.5")
                ->link(tracks_of(a), tracks_of(b), 0)[0]
                .item<int64_t>(),
            -1);
}

TEST(EmbeddingLinker, MasksDecideBetweenEmbeddingsThatAreAlike) {
  const auto linker = make_plugin<Linker>("embedding", "mask_weight = 2.0");
  WindowTracks before = tracks_of(at::ones({2, 4})), next = before;
  before.mask_logits = columns({0, 3});
  next.mask_logits = columns({3, 0});
  EXPECT_TRUE(linker->wants_masks());
  EXPECT_EQ(linker->needed_overlap(), 1);
  EXPECT_TRUE(at::equal(linker->link(before, next, 1), at::tensor({int64_t{1}, int64_t{0}})));
  // cost = (1 - cosine) + 2 * (1 - IoU)
  EXPECT_TRUE(at::allclose(linker->cost(before, next, 2),
                           at::tensor({2.0, 0.0, 0.0, 2.0}).view({2, 2}).to(at::kFloat), 1e-6,
                           1e-6));
  EXPECT_THROW(linker->link(before, next, 0), RuntimeError);
}

TEST(EmbeddingLinker, RefusesAnEmbeddingWithoutDirection) {
  const auto linker = make_plugin<Linker>("embedding", "");
  EXPECT_THROW(linker->link(tracks_of(at::zeros({1, 2})), tracks_of(at::ones({1, 2})), 0),
               RuntimeError);
}

}  // namespace
}  // namespace tessera
