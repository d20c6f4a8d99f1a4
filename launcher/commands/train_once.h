#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera {
class EventLog;
class PreemptionGuard;
class World;
}  // namespace tessera

namespace tessera::commands {

/// What `tessera train` is told.
struct TrainArguments {
  std::string experiment;
  std::vector<std::string> overrides;
  std::string output;
  std::string weights;
  std::string rules;
  std::string resume;
  std::optional<int64_t> iterations;
  bool from_scratch = false;
  bool allow_changes = false;
  bool profile = false;
  bool quiet = false;
  bool log_json = false;
};

struct RunResult {
  int code = 0;                // kOk or kPreempted
  std::optional<double> best;  // validation score of the best weights, where there is one
};

/// One run, whatever `train.seeds` says. `guard` lives through all runs of a command, so that a
/// signal between two of them is not lost. `log` is told what is printed, and more.
RunResult train_once(const TrainArguments& arguments, const World& world,
                     const PreemptionGuard& guard, EventLog& log);

/// Whether a signal has reached any rank; the same answer on all of them.
bool any_asked_to_stop(const PreemptionGuard& guard, const World& world);

}  // namespace tessera::commands
