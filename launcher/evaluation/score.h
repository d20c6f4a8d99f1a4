#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/data/ytvis.h"
#include "launcher/evaluation/diagnostics/diagnostics.h"
#include "launcher/evaluation/results.h"
#include "launcher/evaluation/stat.h"

namespace tessera::evaluation {

inline constexpr size_t kNumThresholds = 10;      // of the intersection over union, 0.50 to 0.95
inline constexpr size_t kNumAreaRanges = 4;       // all, small, medium, large
inline constexpr size_t kNumOcclusionRanges = 4;  // all, light, medium, heavy

enum class Protocol { kYtvis, kOvis };

/// "ytvis" or "ovis". Throws ConfigError for another name.
Protocol protocol_from_name(std::string_view name);

struct ScoreOptions {
  Protocol protocol = Protocol::kYtvis;
  /// Give the numbers of the reference also where it misbehaves: lists of another length than the
  /// video, masks of another size, unlisted categories, a ground truth with id 0.
  bool compatible = false;
  size_t num_threads = 0;  // 0: one for each core
  /// Also what average precision hides. Not with `compatible`.
  std::optional<DiagnosticOptions> diagnose = std::nullopt;
};

struct CategoryScore {
  int64_t category_id = 0;
  std::string name;
  /// Ground truth tracks that count, by area range: all, small, medium, large.
  std::array<int64_t, kNumAreaRanges> num_ground_truth{};
  /// The same by occlusion: all, light, medium, heavy. Zero unless the protocol is OVIS.
  std::array<int64_t, kNumOcclusionRanges> num_by_occlusion{};
  std::vector<Stat> stats;  // as in ScoreResult
  /// By threshold of the intersection over union, all areas, 100 predictions a video.
  std::array<double, kNumThresholds> ap_per_iou{};
  std::array<double, kNumThresholds> recall_per_iou{};
};

struct ScoreResult {
  std::vector<Stat> stats;                // 12 of YouTube-VIS or 18 of OVIS, in the usual order
  std::vector<CategoryScore> categories;  // by ascending id
  std::optional<Diagnostics> diagnostics = std::nullopt;  // if asked for

  /// The value of a stat. Throws ConfigError for an unknown name.
  double stat(std::string_view name) const;
};

/// Average precision and recall of video instance segmentation (Yang et al. 2019) as YTVOSeval
/// computes them, or with occlusion levels (Qi et al. 2022).
/// Throws DataError if a result or a ground truth track does not fit its video, if a result names
/// an unknown video or category, and for OVIS if the ground truth states no occlusion; ConfigError
/// if diagnostics are asked for together with `compatible` or with a threshold that is not finite.
ScoreResult score(const data::AnnotationFile& ground_truth, const Results& results,
                  const ScoreOptions& options = {});

/// The same from files, without holding all masks of the results at once.
/// Throws DataError as read_annotations, read_results and score do.
ScoreResult score_files(const std::filesystem::path& ground_truth,
                        const std::filesystem::path& results, const ScoreOptions& options = {});

/// Sum of intersections over sum of unions along the frames of the shorter list; frames whose masks
/// differ in size count for nothing; 0 if nothing is left.
double track_iou(const std::vector<std::optional<data::Rle>>& a,
                 const std::vector<std::optional<data::Rle>>& b);

}  // namespace tessera::evaluation
