#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "launcher/rank_file.h"

namespace tessera {

/// The folder that holds everything a run writes.
class RunFolder {
 public:
  /// Makes the folder where it is missing, and removes what a killed process left half-written,
  /// which one process of a job may do (`cleans`). Throws RuntimeError where that cannot be done.
  explicit RunFolder(std::filesystem::path path, bool cleans = true);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path resolved() const { return path_ / "resolved.toml"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path last_weights() const { return path_ / "last.safetensors"; }
  std::filesystem::path best_weights() const { return path_ / "best.safetensors"; }
  std::filesystem::path averaged_weights() const { return path_ / "ema.safetensors"; }
  /// A rank's own, see rank_file.h.
  std::filesystem::path profile(int64_t rank = 0) const {
    return rank_file(path_ / "profile", rank);
  }
  std::filesystem::path checkpoint(int64_t iteration) const;

  /// Writes resolved.toml, so that a run that cannot write fails before it trains.
  void write_resolved(const std::string& toml) const;
  /// (iteration, file) of all checkpoints, oldest first.
  std::vector<std::pair<int64_t, std::filesystem::path>> checkpoints() const;
  /// Removes all checkpoints but the `count` newest.
  void keep_checkpoints(int64_t count) const;
  /// Renames a checkpoint that is damaged to "<name>.damaged": it is kept to be looked at, and no
  /// longer counts. Throws RuntimeError.
  void put_aside(const std::filesystem::path& checkpoint) const;
  /// Throws ConfigError where there are checkpoints after `iteration`: another run's.
  void expect_no_checkpoint_after(int64_t iteration) const;

 private:
  std::filesystem::path path_;
};

}  // namespace tessera
