#include "launcher/weights/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <optional>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporaryMark = ".tmp-";
constexpr int kMostLinks = 40;  // as Linux

/// Where the bytes of a file go.
struct Target {
  fs::path path;                    // without symbolic links at its end
  bool is_direct = false;           // written directly, never replaced
  std::optional<int> descriptor{};  // of this process, which the path is a name for
};

[[noreturn]] void refuse(const fs::path& path, const std::string& got) {
  throw RuntimeError(path.string() + ": expected a file to write, got " + got +
                     ". Choose another name.");
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// The number of a descriptor of this process, for /proc/<process>/fd/<number>.
std::optional<int> own_descriptor(const fs::path& folder, const fs::path& name) {
  const std::string text = name.string();
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (!is_number || folder != "/proc/" + std::to_string(::getpid()) + "/fd") return std::nullopt;
  return number;
}

/// in: path without a symbolic link at its end.
Target plain_target(const fs::path& given, const fs::path& path, fs::file_type type) {
  switch (type) {
    case fs::file_type::directory:
      refuse(given, "a folder");
    case fs::file_type::block:
      refuse(given, "a block device");
    case fs::file_type::socket:
      refuse(given, "a socket");
    case fs::file_type::character:
    case fs::file_type::fifo:
      return {.path = path, .is_direct = true};
    default:  // a regular file, none, or one that opening says more about
      return {.path = path};
  }
}

Target target_of(const fs::path& given) {
  fs::path path = given;
  for (int links = 0; links < kMostLinks; ++links) {
    std::error_code error;
    const fs::file_type type = fs::symlink_status(path, error).type();
    if (type != fs::file_type::symlink) return plain_target(given, path, type);
    const fs::path folder = fs::canonical(folder_of(path), error);
    if (error) return {.path = path};
    // The links in /proc/<process>/fd are names of open files, which may have no other name.
    if (folder.string().starts_with("/proc/"))
      return {path, /*is_direct=*/true, own_descriptor(folder, path.filename())};
    const fs::path next = fs::read_symlink(path, error);
    if (error) return {.path = path};
    path = folder / next;
  }
  refuse(given, "a loop of symbolic links");
}

/// Keeps SIGPIPE from this thread, also one that is already on its way at the end.
class PipeSignalBlock {
 public:
  PipeSignalBlock() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~PipeSignalBlock() {
    if (sigismember(&before_, SIGPIPE) == 0) {
      const timespec now{};
      while (sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  PipeSignalBlock(const PipeSignalBlock&) = delete;
  PipeSignalBlock& operator=(const PipeSignalBlock&) = delete;

 private:
  sigset_t pipe_, before_;
};

}  // namespace

AtomicFile::AtomicFile(fs::path path, Sync sync) : sync_(sync), path_(std::move(path)) {
  const Target target = target_of(path_);
  target_ = target.path;
  if (target.descriptor) {
    std::fflush(nullptr);  // what was printed before comes first
    descriptor_ = ::fcntl(*target.descriptor, F_DUPFD_CLOEXEC, 0);
  } else if (target.is_direct) {
    do {
      descriptor_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
    } while (descriptor_ < 0 && errno == EINTR);
  } else {
    temporary_ = target_.string() + std::string(kTemporaryMark) + std::to_string(::getpid());
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  }
  if (descriptor_ < 0)
    fail(target.is_direct ? "to open it" : "a folder that can be written", errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const std::string& what, int error_number) {
  std::string advice = temporary_.empty() ? "" : " Check the folder's permissions.";
  if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG)
    advice = temporary_.empty() ? " Make free space."
                                : " Make free space; what was there before is unchanged.";
  if (error_number == ENOENT) advice = " Make the folder first.";
  if (error_number == EPIPE) advice = " Its reader ended before everything was written.";
  throw RuntimeError(path_.string() + ": expected " + what + ", got '" +
                     std::generic_category().message(error_number) + "'." + advice);
}

void AtomicFile::write(const void* bytes, size_t size) {
  const PipeSignalBlock block;
  const char* from = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, from, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("to write the file", errno);
    from += written;
    size -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  const bool syncs = sync_ == Sync::yes && !temporary_.empty();
  if (syncs && ::fsync(descriptor_) != 0) fail("to sync the file", errno);
  // Some file systems report a full disk only here.
  const int closed = ::close(std::exchange(descriptor_, -1));
  const int close_error = errno;
  if (closed != 0 && !temporary_.empty()) ::unlink(temporary_.c_str());
  if (closed != 0) fail("to close the file", close_error);
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary_.c_str());
    fail("to rename '" + temporary_.filename().string() + "' to it", error_number);
  }
  if (!syncs) return;
  // The rename itself is durable once the folder is synced. Some network file systems cannot sync
  // a folder (EINVAL) and need not.
  const int folder_descriptor =
      ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor < 0) fail("to open its folder for syncing", errno);
  const int synced = ::fsync(folder_descriptor);
  const int error_number = errno;
  ::close(folder_descriptor);
  if (synced != 0 && error_number != EINVAL) fail("to sync its folder", error_number);
}

void write_file(const fs::path& path, std::string_view text, Sync sync) {
  AtomicFile file(path, sync);
  file.write(text);
  file.commit();
}

void expect_writable(const fs::path& path) {
  const Target target = target_of(path);
  if (!target.is_direct) {
    const AtomicFile probe(path);
    return;
  }
  if (::access(target.path.c_str(), W_OK) != 0)
    throw RuntimeError(path.string() + ": expected a file that can be written, got '" +
                       std::generic_category().message(errno) + "'. Check its permissions.");
}

bool is_written_directly(const fs::path& path) {
  return target_of(path).is_direct;
}

bool is_temporary_name(std::string_view name) {
  const size_t mark = name.rfind(kTemporaryMark);
  if (mark == std::string_view::npos) return false;
  const std::string_view process = name.substr(mark + kTemporaryMark.size());
  return !process.empty() && process.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace tessera
