#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

/// A file of scalars that TensorBoard shows: TFRecord frames (length, bytes, masked CRC-32C of
/// each) around `Event` messages of tensorflow/core/util/event.proto.
class TensorBoardLog {
 public:
  using Scalars = std::vector<std::pair<std::string, double>>;  // (tag, value)

  /// Begins a file of its own in `folder`. What earlier files there say of steps from `first_step`
  /// on is no longer shown: a resumed run overwrites its own future.
  /// Throws RuntimeError where it cannot be written.
  TensorBoardLog(const std::filesystem::path& folder, int64_t first_step);

  /// Written at once, so that a reader sees it while training goes on. Values that are not finite
  /// are left out.
  void write(int64_t step, const Scalars& scalars);

 private:
  void write_record(const std::string& event);

  std::filesystem::path file_;
  std::ofstream stream_;
};

}  // namespace tessera
