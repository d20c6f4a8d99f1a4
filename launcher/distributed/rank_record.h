#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

/// What a rank is at, in the order of a step.
enum class Phase : int64_t {
  starting,
  waiting_for_data,
  forward,
  backward,
  optimiser_step,
  validation,
  checkpoint,
  failed,
  ended
};
/// "waiting for data".
const char* phase_name(Phase phase);

/// What is known of a rank, also after it was killed.
struct RankStatus {
  int64_t rank = 0;
  std::string host;
  int64_t process = 0;
  int64_t step = 0;      // the one that is being made, from 1
  int64_t progress = 0;  // phases begun so far
  Phase phase = Phase::starting;

  /// "rank 2 on node7 (process 815, step 17, phase backward)".
  std::string text() const;
  std::string encode() const;
  static RankStatus decode(const std::string& text);
};

/// A rank's status in a small file that is mapped into memory: noting a phase costs no system call,
/// and the kernel keeps what was noted when the process is killed.
class RankRecord {
 public:
  /// Makes `folder` and the file "rank-<rank>" in it. Throws RuntimeError.
  RankRecord(const std::filesystem::path& folder, const RankStatus& status);
  ~RankRecord();
  RankRecord(const RankRecord&) = delete;
  RankRecord& operator=(const RankRecord&) = delete;

  void enter(Phase phase, int64_t step);
  RankStatus status() const;

 private:
  struct Layout;
  Layout* record_ = nullptr;
};

/// The records that a job left in `folder`, by rank; none where there is no such folder.
std::vector<RankStatus> read_rank_records(const std::filesystem::path& folder);

}  // namespace tessera
