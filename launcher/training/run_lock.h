#pragma once

#include <filesystem>

namespace tessera {

class EventLog;

/// Keeps a run folder for one training: two that wrote to the same folder would mix their metrics
/// and remove each other's files. The lock is the kernel's (flock) on the file `run.lock` in the
/// folder, whose text names its holder; it ends with the process, however that ends. On NFS it
/// holds between machines if the mount has locks (the default; not with `nolock` or `local_lock`).
/// A file system without locks is a warning in the log and on standard error.
class RunLock {
 public:
  /// Makes the folder if it is missing. Throws RuntimeError if another process holds the lock,
  /// naming its machine and process, and if the file cannot be written.
  RunLock(const std::filesystem::path& folder, EventLog& log);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace tessera
