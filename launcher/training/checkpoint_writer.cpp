#include "launcher/training/checkpoint_writer.h"

#include <utility>

namespace tessera {

CheckpointWriter::~CheckpointWriter() {
  if (thread_.joinable()) thread_.join();
}

void CheckpointWriter::write(Snapshot snapshot) {
  finish();
  thread_ = std::thread([this, snapshot = std::move(snapshot)]() mutable {
    try {
      const int64_t iteration = snapshot.iteration;
      const auto file = write_checkpoint(folder_, std::move(snapshot), keep_last_);
      if (written_) written_(iteration, file);
    } catch (const std::exception&) {
      error_ = std::current_exception();  // thrown again by the thread that trains
    }
  });
}

void CheckpointWriter::finish() {
  if (thread_.joinable()) thread_.join();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace tessera
