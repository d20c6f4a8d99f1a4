#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "launcher/evaluation/score.h"
#include "launcher/inference/inference_options.h"

namespace tessera {

/// How a model scores that is shown so many frames of every video.
struct SweepRow {
  FrameCount frames;
  std::filesystem::path results;
  std::vector<evaluation::Stat> stats;  // the official ones, with the reference's faults
  /// Average precision by window, of whole videos: what the official numbers of short lists hide.
  std::vector<evaluation::Stat> windowed;
};

/// in: "1", "16", "all". Throws ConfigError for anything else.
std::vector<FrameCount> parse_frame_counts(const std::vector<std::string>& texts);

/// Scores a result file as the reference does (short lists count on their frames only) and by
/// windows, where a list that ends early is empty from there on.
/// Throws DataError as score_files does; a list longer than its video is one.
SweepRow score_sweep_row(FrameCount frames, const std::filesystem::path& ground_truth,
                         const std::filesystem::path& results);

std::string sweep_table(const std::vector<SweepRow>& rows);
nlohmann::ordered_json sweep_json(const std::vector<SweepRow>& rows, const std::string& fill);

}  // namespace tessera
