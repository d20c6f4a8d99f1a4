#pragma once

#include <exception>
#include <thread>

#include "launcher/training/checkpoint.h"

namespace tessera {

/// Writes checkpoints in the background while training goes on, one at a time.
class CheckpointWriter {
 public:
  CheckpointWriter(const RunFolder& folder, int64_t keep_last)
      : folder_(folder), keep_last_(keep_last) {}
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
  std::thread thread_;
  std::exception_ptr error_;  // of thread_, read after it was joined
};

}  // namespace tessera
