#include "launcher/training/seed_scores.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "launcher/weights/atomic_file.h"

namespace tessera {

ScoreStatistics statistics_of(const std::vector<SeedScore>& scores) {
  const auto count = static_cast<double>(scores.size());
  ScoreStatistics statistics;
  for (const SeedScore& run : scores) statistics.mean += run.score / count;
  if (scores.size() < 2) return statistics;
  double squares = 0;
  for (const SeedScore& run : scores) squares += std::pow(run.score - statistics.mean, 2);
  statistics.deviation = std::sqrt(squares / (count - 1));
  return statistics;
}

void write_seed_scores(const std::filesystem::path& file, const std::vector<SeedScore>& scores) {
  const ScoreStatistics statistics = statistics_of(scores);
  nlohmann::json json{{"runs", nlohmann::json::array()},
                      {"mean", statistics.mean},
                      {"deviation", statistics.deviation}};
  for (const SeedScore& run : scores)
    json["runs"].push_back({{"seed", run.seed}, {"score", run.score}});
  write_file(file, json.dump(2) + "\n");
}

}  // namespace tessera
