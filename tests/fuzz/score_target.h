#pragma once

#include <string>
#include <string_view>

#include "core/error.h"
#include "launcher/evaluation/score.h"
#include "tests/fuzz/memory_file.h"

namespace tessera::fuzz {

/// A ground truth of one video of two frames, and results that fit it.
inline constexpr std::string_view kGroundTruth =
    R"({"videos":[{"id":1,"width":5,"height":4,"length":2,"file_names":["a/0.jpg","a/1.jpg"]}],)"
    R"("categories":[{"id":1,"name":"cat"},{"id":2,"name":"dog"}],"annotations":[)"
    R"({"id":1,"video_id":1,"category_id":1,"iscrowd":0,"areas":[4,null],"bboxes":[[0,0,1,4],null],)"
    R"("occlusion":["no_occlusion",null],"segmentations":[{"size":[4,5],"counts":"04`0"},null]}]})";
inline constexpr std::string_view kResults =
    R"([{"video_id":1,"category_id":1,"score":0.5,)"
    R"("segmentations":[{"size":[4,5],"counts":"04`0"},null]}])";

/// The numbers, or the error that a user would see.
template <class Run>
std::string outcome(Run&& run) {
  try {
    std::string text;
    for (const evaluation::Stat& stat : run().stats) {
      expect(stat.value == evaluation::kUndefined || (stat.value >= 0 && stat.value <= 1),
             "every number lies in 0..1");
      text += stat.name + " " + std::to_string(stat.value) + "\n";
    }
    return text;
  } catch (const DataError& error) {
    return std::string("error: ") + error.what();
  }
}

/// Reads and scores both files in one of the four modes, which the bytes of the input choose; both
/// ways through the scorer must agree.
inline void score_both_ways(std::string_view ground_truth, std::string_view results) {
  static const MemoryFile truth_file, results_file;
  truth_file.set(ground_truth);
  results_file.set(results);
  unsigned mode = 0;
  for (const std::string_view text : {ground_truth, results})
    for (const char c : text) mode = mode * 31 + static_cast<unsigned char>(c);
  const bool compatible = (mode >> 7) % 2 == 1;
  const evaluation::ScoreOptions options{
      .protocol = (mode >> 8) % 2 == 1 ? evaluation::Protocol::kOvis : evaluation::Protocol::kYtvis,
      .compatible = compatible,
      .num_threads = 1};
  const std::string whole = outcome([&] {
    const auto truth = data::read_annotations(truth_file.path(), {.compatible = compatible});
    const auto results = evaluation::read_results(results_file.path(), evaluation::sizes_of(truth));
    return evaluation::score(truth, results, options);
  });
  const std::string in_parts = outcome(
      [&] { return evaluation::score_files(truth_file.path(), results_file.path(), options); });
  if (whole != in_parts)
    std::fprintf(stderr, "whole: %s\nin parts: %s\n", whole.c_str(), in_parts.c_str());
  expect(whole == in_parts, "scoring in parts gives the same as scoring the whole");
}

}  // namespace tessera::fuzz
