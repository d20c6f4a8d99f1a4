#pragma once

#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "launcher/distributed/communicator.h"
#include "launcher/distributed/rank_record.h"

namespace tessera {

/// Sees to it that no rank waits for ever for another. Every rank gives a sign of life each second;
/// a rank that is killed, stopped or makes no progress ends the whole job: one rank says which rank
/// it was, on what machine, in which step and phase (on stderr and in "<folder>/failure.txt"), and
/// all exit with kRuntimeError. In a world of one it does nothing.
///
/// Two threads: one talks to c10d's store, so that it hangs when the store's machine does; the
/// other only looks at clocks and at processes of this machine, and notices that.
class Supervisor {
 public:
  /// Does nothing.
  Supervisor();
  /// in: folder for the ranks' records, on a file system that all machines share; what is told why
  /// the job ends before this ends the process (main is not reached then). Waits for all ranks.
  Supervisor(const World& world, const Communicator& communicator,
             const DistributedOptions& options, const std::filesystem::path& folder,
             std::function<void(const std::string& reason)> last_words = {});
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Notes what this rank does now; `step` counts from 1. Costs nothing worth measuring.
  void enter(Phase phase, int64_t step);
  /// The phase goes on, and is not stuck.
  void note_progress();
  /// This rank ends with an error. Where the error only is what another rank's end looks like from
  /// here, does not return: the job ends with the other's message.
  void fail(const std::exception& error);
  /// The work is done: waits for all ranks, then no longer looks for lost ones.
  void finish();

 private:
  struct Watch;
  std::unique_ptr<Watch> watch_;
  const Communicator* communicator_ = nullptr;
  bool done_ = false;
};

/// Folder of the records within a run folder.
std::filesystem::path rank_records(const std::filesystem::path& run_folder);

}  // namespace tessera
