#include "launcher/report/run_history.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace tessera::report {

double ValidationPoint::stat(const std::string& name) const {
  for (const auto& [key, value] : stats)
    if (key == name) return value;
  throw DataError("metrics.jsonl: expected the stat '" + name +
                  "' in the validation at iteration " + std::to_string(iteration) + ", got none.");
}

RunHistory read_history(const std::filesystem::path& metrics) {
  std::ifstream stream(metrics);
  if (!stream)
    throw DataError(metrics.string() + ": expected the metrics of a run, got no readable file.");
  RunHistory history;
  std::string line;
  for (int64_t number = 1; std::getline(stream, line); ++number) {
    try {
      const auto json = nlohmann::ordered_json::parse(line);
      const auto iteration = json.at("iteration").get<int64_t>();
      const double before = history.seconds();
      const int64_t steps_before = history.steps.empty() ? 0 : history.steps.back().iteration;
      if (json.contains("validation")) {
        ValidationPoint point{iteration, before, {}};
        for (const auto& [name, value] : json["validation"].items())
          point.stats.emplace_back(name, value.get<double>());
        history.validations.push_back(std::move(point));
      } else {
        // A line's seconds are those of a step, as the mean since the line before.
        const double passed =
            json.at("seconds").get<double>() * static_cast<double>(iteration - steps_before);
        const auto& total = json.at("total");
        history.steps.push_back(
            {iteration, before + passed, total.is_null() ? NAN : total.get<double>()});
      }
    } catch (const nlohmann::json::exception& error) {
      throw DataError(metrics.string() + ":" + std::to_string(number) +
                      ": expected a line of metrics, got '" + error.what() + "'.");
    }
  }
  return history;
}

std::vector<StepSplit> read_profile(const std::filesystem::path& profile) {
  std::ifstream stream(profile);
  std::vector<StepSplit> splits;
  std::string line;
  for (int64_t number = 1; std::getline(stream, line); ++number) {
    try {
      const auto json = nlohmann::json::parse(line);
      StepSplit split{json.at("iteration").get<int64_t>(), json.at("data").get<double>(),
                      json.at("forward").get<double>(),    json.at("backward").get<double>(),
                      json.at("exposed").get<double>(),    json.at("optimiser").get<double>()};
      split.backward -= split.exposed;
      splits.push_back(split);
    } catch (const nlohmann::json::exception& error) {
      throw DataError(profile.string() + ":" + std::to_string(number) +
                      ": expected a line of a profile, got '" + error.what() + "'.");
    }
  }
  return splits;
}

}  // namespace tessera::report
