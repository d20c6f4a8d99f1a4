#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace tessera {

/// The validation score of a run's best weights.
struct SeedScore {
  int64_t seed = 0;
  double score = 0;
};

struct ScoreStatistics {
  double mean = 0;
  double deviation = 0;  // of the sample (n - 1); 0 for one score
};

/// in: at least one score.
ScoreStatistics statistics_of(const std::vector<SeedScore>& scores);

/// Writes `{"runs": [{"seed", "score"}, ..], "mean", "deviation"}` whole or not at all. Throws
/// RuntimeError where the folder cannot be written.
void write_seed_scores(const std::filesystem::path& file, const std::vector<SeedScore>& scores);

}  // namespace tessera
