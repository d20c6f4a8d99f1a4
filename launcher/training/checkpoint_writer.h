#pragma once

#include <exception>
#include <functional>
#include <thread>
#include <utility>

#include "launcher/training/checkpoint.h"

namespace tessera {

/// Writes checkpoints in the background while training goes on, one at a time.
class CheckpointWriter {
 public:
  /// `written` is told of every file that is whole, by the thread that wrote it.
  CheckpointWriter(
      const RunFolder& folder, int64_t keep_last,
      std::function<void(int64_t iteration, const std::filesystem::path& file)> written = {})
      : folder_(folder), keep_last_(keep_last), written_(std::move(written)) {}
  /// Waits for what is being written.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Begins to write; waits for the checkpoint before. Throws why that one could not be written.
  void write(Snapshot snapshot);
  /// Waits until everything is written. Throws why it could not be.
  void finish();

 private:
  const RunFolder& folder_;
  const int64_t keep_last_;
  const std::function<void(int64_t, const std::filesystem::path&)> written_;
  std::thread thread_;
  std::exception_ptr error_;  // of thread_, read after it was joined
};

}  // namespace tessera
