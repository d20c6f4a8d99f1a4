#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/distributed/launch_claim.h"

namespace tessera {

/// The processes that one mpirun or srun started; a process started by itself is a world of one and
/// needs no MPI.
class World {
 public:
  /// Joins the others, if a launcher states that there are some and MPI can find them.
  World();
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  static bool is_built_with_mpi();
  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }
  int64_t local_rank() const { return local_rank_; }  // among the processes of this machine
  int64_t local_size() const { return local_size_; }  // processes of this machine
  bool is_first() const { return rank_ == 0; }
  const std::string& host() const { return host_; }  // name of this machine
  /// "rank 3 on node7", or "" in a world of one: what a message begins with.
  std::string who() const;

  /// Waits for every process. out: the bytes of each in the order of ranks on rank 0, nothing
  /// elsewhere. At most 2 GiB in all.
  std::vector<std::string> gather(const std::string& bytes) const;
  /// Waits for every process. out: the text of each in the order of ranks, on all of them.
  std::vector<std::string> gather_everywhere(const std::string& text) const;
  /// Waits for rank 0. out: its text.
  std::string from_first(const std::string& text) const;

  /// Throws ConfigError if a launcher started this process together with others that MPI does not
  /// see (or Tessera was built without MPI): each would do the whole work, in the same files.
  /// in: work, "train".
  void expect_every_task(const std::string& work) const;

  /// Ends this process's part with an exit code: others are not left waiting for one that failed.
  void finish(int code);

 private:
  int64_t rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  std::string host_;
  bool joined_ = false;
  std::optional<LaunchClaim> claim_;
};

}  // namespace tessera
