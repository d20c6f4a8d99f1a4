#include "launcher/weights/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/error.h"

namespace tessera {
namespace {
constexpr std::string_view kTemporaryMark = ".tmp-";
}

AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)),
      temporary_(path_.string() + std::string(kTemporaryMark) + std::to_string(::getpid())) {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("a folder that can be written", errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const std::string& what, int error_number) {
  std::string advice = " Check the folder's permissions.";
  if (error_number == ENOSPC || error_number == EDQUOT)
    advice = " Free some space; nothing was left half-written.";
  if (error_number == ENOENT) advice = " Make the folder first.";
  throw RuntimeError(path_.string() + ": expected " + what + ", got '" +
                     std::generic_category().message(error_number) + "'." + advice);
}

void AtomicFile::write(const void* bytes, size_t size) {
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
  if (::fsync(descriptor_) != 0) fail("to sync the file", errno);
  // Some file systems report a full disk only here.
  if (::close(descriptor_) != 0) {
    const int error_number = errno;
    descriptor_ = -1;
    ::unlink(temporary_.c_str());
    fail("to close the file", error_number);
  }
  descriptor_ = -1;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary_.c_str());
    fail("to rename '" + temporary_.filename().string() + "' to it", error_number);
  }
  // The rename itself is durable once the folder is synced. Some network file systems cannot sync
  // a folder (EINVAL) and need not.
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int folder_descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor < 0) fail("to open its folder for syncing", errno);
  const int synced = ::fsync(folder_descriptor);
  const int error_number = errno;
  ::close(folder_descriptor);
  if (synced != 0 && error_number != EINVAL) fail("to sync its folder", error_number);
}

bool is_temporary_name(std::string_view name) {
  const size_t mark = name.rfind(kTemporaryMark);
  if (mark == std::string_view::npos) return false;
  const std::string_view process = name.substr(mark + kTemporaryMark.size());
  return !process.empty() && process.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace tessera
