#include "launcher/training/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <ctime>
#include <iostream>
#include <string>
#include <system_error>

#include "core/error.h"
#include "launcher/event_log.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void cannot_lock(const fs::path& file, const std::string& doing, int error_number) {
  throw RuntimeError(file.string() + ": expected to " + doing + " the lock of a run folder, got '" +
                     std::generic_category().message(error_number) +
                     "'. Check --output and its permissions.");
}

/// "process 4711 on node7 since 2026-01-31 09:30:00 UTC".
std::string own_description() {
  std::array<char, HOST_NAME_MAX + 1> host{};
  if (gethostname(host.data(), HOST_NAME_MAX) != 0) host = {"an unknown machine"};
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> since{};
  std::strftime(since.data(), since.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return "process " + std::to_string(getpid()) + " on " + host.data() + " since " + since.data();
}

std::string first_line(int descriptor) {
  std::array<char, 512> text{};
  const ssize_t size = ::pread(descriptor, text.data(), text.size(), 0);
  const std::string read(text.data(), static_cast<size_t>(size < 0 ? 0 : size));
  const std::string line = read.substr(0, read.find('\n'));
  return line.empty() ? "another process, which has not written its name yet" : line;
}

/// Whether flock() failed because the file system has no locks.
bool has_no_locks(int error_number) {
  return error_number == ENOLCK || error_number == ENOSYS || error_number == EOPNOTSUPP ||
         error_number == EINVAL;
}

}  // namespace

RunLock::RunLock(const fs::path& folder, EventLog& log) {
  std::error_code error;
  fs::create_directories(folder, error);
  const fs::path file = folder / "run.lock";
  if (error) cannot_lock(file, "make the folder of", error.value());
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) cannot_lock(file, "open", errno);
  int locked = 0;
  do {
    locked = ::flock(descriptor_, LOCK_EX | LOCK_NB);
  } while (locked != 0 && errno == EINTR);
  const int error_number = errno;
  if (locked != 0 && error_number == EWOULDBLOCK) {
    const std::string holder = first_line(descriptor_);
    ::close(descriptor_);
    throw RuntimeError(folder.string() +
                       ": expected a run folder that no other training writes to, got one that is "
                       "locked by " +
                       holder + ". Wait for that training or stop it, or take another --output.");
  }
  if (locked != 0 && !has_no_locks(error_number)) {
    ::close(descriptor_);
    cannot_lock(file, "take", error_number);
  }
  if (locked != 0)
    log.warn(std::cerr, "no_lock",
             "warning: " + folder.string() + ": the file system has no locks ('" +
                 std::generic_category().message(error_number) +
                 "'). Do not start a second training in this folder.");
  const std::string text = own_description() + "\n";
  if (::ftruncate(descriptor_, 0) != 0 ||
      ::pwrite(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    const int write_error = errno;
    ::close(descriptor_);
    cannot_lock(file, "write", write_error);
  }
}

RunLock::~RunLock() {
  // The file stays: a process that waits to lock it may have opened it already, and another would
  // make a new one beside it.
  ::close(descriptor_);
}

}  // namespace tessera
