// HOTA, IDF1, switches, gaps and jitter on sequences small enough to be worked out by hand.

#include <gtest/gtest.h>

#include <cmath>

#include "launcher/evaluation/diagnostics/hota.h"
#include "launcher/evaluation/diagnostics/identity.h"
#include "launcher/evaluation/diagnostics/idf1.h"
#include "launcher/evaluation/diagnostics/jitter.h"

namespace tessera::evaluation {
namespace {

/// Frames of one object that is there throughout: the id of the prediction in each, -1 for none.
TrackingSequence one_object(const std::vector<int>& predictions, const std::vector<double>& ious) {
  TrackingSequence sequence;
  sequence.num_truths = 1;
  sequence.num_predictions = 3;
  for (size_t t = 0; t < predictions.size(); ++t) {
    TrackingFrame frame;
    frame.truths = {0};
    if (predictions[t] >= 0) {
      frame.predictions = {static_cast<size_t>(predictions[t])};
      frame.ious = {ious[t]};
    }
    sequence.frames.push_back(frame);
  }
  return sequence;
}

/// The same, all IoUs 1; the object is gone where `is_present` says so.
TrackingSequence with_gaps(const std::vector<bool>& is_present,
                           const std::vector<int>& predictions) {
  TrackingSequence sequence = one_object(predictions, std::vector<double>(predictions.size(), 1.));
  for (size_t t = 0; t < predictions.size(); ++t) {
    if (is_present[t]) continue;
    sequence.frames[t].truths.clear();
    sequence.frames[t].ious.clear();
  }
  return sequence;
}

SwitchCounts switches(const TrackingSequence& sequence) {
  return switch_counts(match_frames(sequence));
}

// Two halves with an identity each: every detection right; of the four frames of the object each
// identity shares two: 2 / (4 + 2 - 2).
TEST(Hota, HalvesTheAssociationOfATrackInTwoHalves) {
  const auto scores = hota_scores(hota_counts(one_object({0, 0, 1, 1}, {1, 1, 1, 1})));
  EXPECT_NEAR(scores.detection, 1, 1e-12);
  EXPECT_NEAR(scores.association, 0.5, 1e-12);
  EXPECT_NEAR(scores.hota, std::sqrt(0.5), 1e-12);
}

// An IoU of 0.5 is a match at 10 of the 19 thresholds, 0.05 to 0.50.
TEST(Hota, CountsThresholdsThatAreReached) {
  const auto scores = hota_scores(hota_counts(one_object({0, 0}, {0.5, 0.5})));
  EXPECT_NEAR(scores.detection, 10. / 19, 1e-12);
  EXPECT_NEAR(scores.association, 10. / 19, 1e-12);
  EXPECT_NEAR(scores.hota, 10. / 19, 1e-12);
}

// A frame without a prediction and a frame without the object: 2 true, 1 missed, 1 false;
// association 2 / (3 + 3 - 2).
TEST(Hota, CountsMissesAndFalseOnes) {
  const auto scores = hota_scores(hota_counts(with_gaps({true, true, true, false}, {0, 0, -1, 0})));
  EXPECT_NEAR(scores.detection, 0.5, 1e-12);
  EXPECT_NEAR(scores.association, 0.5, 1e-12);
}

// In the first frame prediction 1 lies better on the object, prediction 0 is its track: the whole
// sequence decides. Frame 0: IoUs 0.55 and 0.6; frames 1 to 3: only prediction 0, IoU 1.
TEST(Hota, PrefersPairsOfTheWholeSequence) {
  TrackingSequence sequence = one_object({0, 0, 0, 0}, {0.55, 1, 1, 1});
  sequence.frames[0].predictions = {0, 1};
  sequence.frames[0].ious = {0.55, 0.6};
  const HotaCounts counts = hota_counts(sequence);
  // At the lowest threshold prediction 0 is on the object in 4 frames of 4.
  EXPECT_NEAR(counts.association[0], 4, 1e-12);
  EXPECT_NEAR(counts.num_true[0], 4, 1e-12);
  EXPECT_NEAR(counts.num_false[0], 1, 1e-12);
}

TEST(Hota, IsUndefinedWithoutGroundTruthAndZeroWithoutPredictions) {
  EXPECT_EQ(hota_scores(hota_counts({})).hota, kUndefined);
  EXPECT_EQ(hota_scores(hota_counts(one_object({-1, -1}, {0, 0}))).hota, 0);
  TrackingSequence only_false = one_object({0, 0}, {0, 0});
  for (TrackingFrame& frame : only_false.frames) frame.truths.clear();
  EXPECT_EQ(hota_scores(hota_counts(only_false)).hota, kUndefined);
}

// One identity for good: 3 frames right, 2 of the object missed, 2 of the other one false.
TEST(Idf1, GivesEachObjectOnePrediction) {
  const auto counts = identity_counts(one_object({0, 0, 1, 1, 0}, {1, 0.5, 1, 1, 1}));
  EXPECT_EQ(counts.num_true, 3);
  EXPECT_EQ(counts.num_missed, 2);
  EXPECT_EQ(counts.num_false, 2);
  EXPECT_NEAR(idf1(counts), 2 * 3. / (2 * 3 + 2 + 2), 1e-12);
  EXPECT_NEAR(idf1(identity_counts(one_object({0, 0}, {1, 0.499}))), 0.5, 1e-12);
}

TEST(Idf1, IsUndefinedWithoutGroundTruth) {
  EXPECT_EQ(idf1(identity_counts({})), kUndefined);
  EXPECT_EQ(idf1(identity_counts(one_object({-1}, {0}))), 0);
}

TEST(IdentityKeeping, CountsSwitches) {
  // 0 to 1, then (a frame without a match between) 1 to 2; an IoU below 0.5 is no match.
  const auto counts = switches(one_object({0, 1, -1, 2, 0}, {1, 0.5, 0, 1, 0.49}));
  EXPECT_EQ(counts.num_switches, 2);
  EXPECT_EQ(counts.num_matched_frames, 3);
  EXPECT_EQ(counts.num_gaps, 0);
}

TEST(IdentityKeeping, CountsGapsThatAreBridged) {
  // Gap 1: the same on both sides. Gap 2: another one. Gap 3: nothing after it. Gap 4: nothing
  // before it.
  const auto counts =
      switches(with_gaps({true, false, true, false, false, true, false, true, false, true},
                         {0, -1, 0, -1, -1, 1, -1, -1, -1, 1}));
  EXPECT_EQ(counts.num_gaps, 4);
  EXPECT_EQ(counts.num_bridged_gaps, 1);
  EXPECT_EQ(counts.num_switches, 1);
}

TEST(IdentityKeeping, BridgesFromTheLastMatchToTheFirst) {
  const auto bridged = switches(with_gaps({true, true, false, true, true}, {1, 0, -1, -1, 0}));
  EXPECT_EQ(bridged.num_bridged_gaps, 1);
  // The first match after the gap decides, not a later one.
  const auto lost = switches(with_gaps({true, true, false, true, true}, {0, 0, -1, 1, 0}));
  EXPECT_EQ(lost.num_gaps, 1);
  EXPECT_EQ(lost.num_bridged_gaps, 0);
}

TEST(FrameMatching, KeepsTheLastPrediction) {
  TrackingSequence sequence = one_object({0, 0}, {0.6, 0.6});
  sequence.frames[1].predictions = {1, 0};
  sequence.frames[1].ious = {0.9, 0.55};  // cannot be without common pixels, but the rule holds
  const auto matches = match_frames(sequence);
  EXPECT_EQ(matches[0][1].prediction, 0u);
  EXPECT_EQ(matches[0][1].iou, 0.55);
}

TEST(Jitter, IsTheMeanChangeOfOneIdentity) {
  // 0.6 to 0.9 and 0.9 to 0.8; then another identity, and a frame without a match.
  const auto sum =
      jitter_sum(match_frames(one_object({0, 0, 0, 1, -1, 1}, {0.6, 0.9, 0.8, 1, 0, 0.7})));
  EXPECT_NEAR(sum.change, 0.4, 1e-12);
  EXPECT_EQ(sum.num_pairs, 2);
}

}  // namespace
}  // namespace tessera::evaluation
