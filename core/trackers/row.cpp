// A query is a track: for decoders whose queries stay with their object from window to window.

#include <ATen/ATen.h>

#include <numeric>
#include <unordered_map>

#include "core/error.h"
#include "core/interfaces/tracker.h"
#include "core/plugin/plugin.h"
#include "core/trackers/builtin.h"

namespace tessera::trackers {
namespace {

/// Tracks are numbered in the order in which their queries come: with all queries in every window
/// a query's track has the query's number.
class QueryTracks final : public VideoTracker {
 public:
  TrackUpdate update(const TrackerInput& input) override {
    const int64_t num_rows = input.rows.class_probabilities.size(0);
    std::vector<int64_t> queries = input.queries;
    if (queries.empty()) {
      queries.resize(static_cast<size_t>(num_rows));
      std::iota(queries.begin(), queries.end(), 0);
    }
    if (static_cast<int64_t>(queries.size()) != num_rows)
      throw RuntimeError("tracker row: expected the query of each of " + std::to_string(num_rows) +
                         " rows, got " + std::to_string(queries.size()) + ".");
    TrackUpdate update;
    for (const int64_t query : queries)
      update.track_of_row.push_back(
          track_of_query_.try_emplace(query, static_cast<int64_t>(track_of_query_.size()))
              .first->second);
    return update;
  }

 private:
  std::unordered_map<int64_t, int64_t> track_of_query_;
};

class RowTracker final : public Tracker {
 public:
  struct Options {
    static void describe(Schema<Options>&) {}
  };
  RowTracker(const Options&, const BuildContext&) {}
  std::unique_ptr<VideoTracker> begin() const override { return std::make_unique<QueryTracks>(); }
};

}  // namespace

const PluginDescriptor& row() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Tracker, RowTracker>(
      "row", "Every query is one track, for decoders that keep a query's object");
  return kDescriptor;
}

}  // namespace tessera::trackers
