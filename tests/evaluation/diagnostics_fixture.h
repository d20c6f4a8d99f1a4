#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/evaluation/prediction_source.h"
#include "launcher/evaluation/score.h"
#include "tests/evaluation/fixture.h"

namespace tessera::test_support {

/// A mask of 10 x 100 pixels: `count` pixels of the first row from `start` on.
inline std::optional<data::Rle> bar(int64_t start, int64_t count) {
  return box_rle(10, 100, start, 0, count, 1);
}

inline const std::optional<data::Rle> kNoMask;

/// Video 1, frames of 10 x 100 pixels, categories 5 (duck) and 6 (goose).
class DiagnosticsTest : public testing::Test {
 protected:
  explicit DiagnosticsTest(int64_t num_frames = 4) {
    truth_.file = "gt.json";
    results_.file = "results.json";
    truth_.categories = {{5, "duck"}, {6, "goose"}};
    add_video(1, num_frames);
  }

  void add_video(int64_t id, int64_t num_frames) {
    truth_.videos.push_back({id, 100, 10, num_frames, {}});
  }

  data::Annotation& add_truth(const evaluation::Masks& masks, int64_t category_id = 5,
                              int64_t video_id = 1) {
    data::Annotation annotation;
    annotation.id = static_cast<int64_t>(truth_.annotations.size()) + 1;
    annotation.video_id = video_id;
    annotation.category_id = category_id;
    for (size_t i = 0; i < truth_.videos.size(); ++i) {
      if (truth_.videos[i].id == video_id) annotation.video_index = i;
    }
    annotation.segmentations = masks;
    for (const auto& mask : masks) {
      annotation.areas.push_back(mask ? std::optional<double>(data::area(*mask)) : std::nullopt);
    }
    truth_.annotations.push_back(annotation);
    return truth_.annotations.back();
  }

  void add_result(double score, const evaluation::Masks& masks, int64_t category_id = 5,
                  int64_t video_id = 1) {
    results_.tracks.push_back({video_id, category_id, score, masks});
  }

  evaluation::ScoreResult run(const evaluation::DiagnosticOptions& options = {}) const {
    return evaluation::score(truth_, results_, {.diagnose = options});
  }

  /// A number of all categories, or of one by its place.
  double stat(const std::string& group, const std::string& name,
              std::optional<size_t> category = std::nullopt) const {
    const auto result = run();
    const auto& groups =
        category ? result.diagnostics->categories.at(*category) : result.diagnostics->all;
    for (const auto& one : groups) {
      if (one.name != group) continue;
      for (const auto& stat : one.stats) {
        if (stat.name == name) return stat.value;
      }
    }
    ADD_FAILURE() << "no " << group << "." << name;
    return 0;
  }

  data::AnnotationFile truth_;
  evaluation::Results results_;
};

}  // namespace tessera::test_support
