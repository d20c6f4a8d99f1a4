// What each class of error costs, on cases with one error.

#include <map>
#include <string>
#include "launcher/evaluation/diagnostics/repairs.h"

#include "tests/evaluation/diagnostics_fixture.h"

namespace tessera::evaluation {
namespace {

using test_support::bar;
using test_support::kNoMask;

class OracleSplitCase : public test_support::DiagnosticsTest {
 protected:
  /// Expects what repairs gain in AP; those not named gain nothing.
  void expect_gains(const std::map<std::string, double>& gains) const {
    for (const Repair& repair : kRepairs) {
      const auto found = gains.find(repair.name);
      EXPECT_NEAR(stat("oracle_gain", repair.name), found == gains.end() ? 0 : found->second, 1e-12)
          << repair.name;
    }
  }

  double as_it_is() const { return stat("oracle_AP", "as_it_is"); }

  const Masks left_ = Masks(4, bar(0, 10));
  const Masks right_ = Masks(4, bar(50, 10));
};

TEST_F(OracleSplitCase, PerfectResultsGainNothing) {
  add_truth(left_);
  add_truth(right_, 6);
  add_result(0.9, left_);
  add_result(0.8, right_, 6);
  EXPECT_NEAR(as_it_is(), 1, 1e-12);
  expect_gains({});
}

// Both tracks change their object after two frames: IoU 20 / 60 with either.
TEST_F(OracleSplitCase, IdentitiesThatAreExchanged) {
  add_truth(left_);
  add_truth(right_);
  add_result(0.9, {bar(0, 10), bar(0, 10), bar(50, 10), bar(50, 10)});
  add_result(0.8, {bar(50, 10), bar(50, 10), bar(0, 10), bar(0, 10)});
  EXPECT_EQ(as_it_is(), 0);
  expect_gains({{"identity", 1}});
  EXPECT_NEAR(stat("oracle_AP", "identity"), 1, 1e-12);
  EXPECT_NEAR(stat("oracle_gain50", "identity"), 1, 1e-12);
}

// The surer one has three frames of four: found at the 6 thresholds up to 0.75. It takes the
// fourth from the other, of which nothing is left.
TEST_F(OracleSplitCase, IdentitiesThatAreBroken) {
  add_truth(left_);
  add_result(0.9, {bar(0, 10), bar(0, 10), bar(0, 10), kNoMask});
  add_result(0.8, {kNoMask, kNoMask, kNoMask, bar(0, 10)});
  EXPECT_NEAR(as_it_is(), 0.6, 1e-12);
  expect_gains({{"identity", 0.4}});
}

// A track that is on its object keeps its own masks, be there better ones.
TEST_F(OracleSplitCase, IdentitiesThatAreRightStay) {
  add_truth(left_);
  add_result(0.9, Masks(4, bar(0, 6)));  // IoU 0.6: 3 thresholds
  add_result(0.8, left_);                // all; at 0.65 and above half of what is found is false
  const VideoTracks video = VideoLoader(truth_, Predictions(results_)).load(0);
  const VideoOverlaps overlaps(video);
  const Scene scene = scene_of(overlaps);
  const Scene repaired = repair_identity(scene);
  for (size_t d = 0; d < 2; ++d) {
    EXPECT_EQ(repaired.predictions[d].sources, scene.predictions[d].sources);
  }
}

TEST_F(OracleSplitCase, LabelsThatAreWrong) {
  add_truth(left_, 6);
  add_result(0.9, left_, 5);
  EXPECT_EQ(as_it_is(), 0);
  expect_gains({{"class", 1}});
}

// The object is found with both labels, the wrong one surer; a false goose comes between: 1/2.
// With the label put right the surer one is the goose, and the other is gone.
TEST_F(OracleSplitCase, LabelsOfWhichTheRightOneIsLessSure) {
  add_truth(left_, 6);
  add_result(0.9, left_, 5);
  add_result(0.5, right_, 6);
  add_result(0.2, left_, 6);
  EXPECT_NEAR(as_it_is(), 0.5, 1e-12);
  expect_gains({{"class", 0.5}, {"background", 0.5}});
}

// 6 of 10 pixels: found at 0.50, 0.55 and 0.60.
TEST_F(OracleSplitCase, MasksThatAreRough) {
  add_truth(left_);
  add_result(0.9, Masks(4, bar(0, 6)));
  EXPECT_NEAR(as_it_is(), 0.3, 1e-12);
  expect_gains({{"mask", 0.7}});
}

// Masks are repaired frame by frame: those far off and those that are not there stay. Frame 0: 9
// of 10 pixels; frame 1: IoU 1 / 19; frame 2: none; frame 3: right. With frames 0 and 3 right:
// 21 / (10 + 19 + 10 + 10), below 0.5.
TEST_F(OracleSplitCase, MasksThatAreNotThereStay) {
  add_truth(left_);
  add_result(0.9, {bar(1, 9), bar(9, 10), kNoMask, bar(0, 10)});
  EXPECT_EQ(as_it_is(), 0);
  expect_gains({});
}

// Precision 1 up to recall 0.5 (51 points), then 2/3.
TEST_F(OracleSplitCase, Duplicates) {
  add_truth(left_);
  add_truth(right_);
  add_result(0.9, left_);
  add_result(0.8, left_);
  add_result(0.7, right_);
  const double before = (51 + 50 * 2. / 3) / 101;
  EXPECT_NEAR(as_it_is(), before, 1e-12);
  expect_gains({{"duplicates", 1 - before}});
}

TEST_F(OracleSplitCase, Misses) {
  add_truth(left_);
  add_truth(right_);
  add_result(0.9, left_);
  EXPECT_NEAR(as_it_is(), 51. / 101, 1e-12);
  expect_gains({{"misses", 1 - 51. / 101}});
  // A category of which nothing is found.
  add_truth(right_, 6);
  EXPECT_NEAR(stat("oracle_gain", "misses", 1), 1, 1e-12);
  EXPECT_EQ(stat("oracle_AP", "misses", 1), 1);
}

TEST_F(OracleSplitCase, Background) {
  add_truth(left_);
  add_result(0.95, right_);
  add_result(0.9, left_);
  EXPECT_NEAR(as_it_is(), 0.5, 1e-12);
  expect_gains({{"background", 0.5}});
}

// What lies in a crowd is no error, and a crowd is never missed.
TEST_F(OracleSplitCase, Crowds) {
  add_truth(left_);
  add_truth(Masks(4, bar(30, 60))).is_crowd = true;
  add_result(0.9, Masks(4, bar(30, 60)));
  add_result(0.8, left_);
  add_result(0.95, Masks(4, bar(30, 55)), 6);  // nor is another label
  EXPECT_NEAR(as_it_is(), 1, 1e-12);
  expect_gains({});
}

}  // namespace
}  // namespace tessera::evaluation
