#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace tessera {

/// Whether a file must outlast a power failure right after it was written. Syncing takes
/// milliseconds: files by the thousand, such as frames, go without.
enum class Sync { no, yes };

/// A file that a command writes. A regular file appears under its name whole or not at all: it is
/// written beside that name as "<name>.tmp-<process>", synced, then renamed; the temporary file of
/// one that is not committed is removed. A symbolic link stays, and its target is replaced like
/// that. A character device, a FIFO or an open descriptor (/dev/stdout, /dev/fd/3) is written
/// directly, and never replaced; a reader that has gone is an error, not SIGPIPE.
class AtomicFile {
 public:
  /// Opens the file; a FIFO waits for its reader. Throws RuntimeError if the folder cannot be
  /// written, and for a folder, a block device, a socket or a loop of symbolic links.
  explicit AtomicFile(std::filesystem::path path, Sync sync = Sync::yes);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends bytes. Throws RuntimeError (a full disk, for example) naming file and cause.
  void write(const void* bytes, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Syncs and renames.
  void commit();

 private:
  [[noreturn]] void fail(const std::string& what, int error_number);

  Sync sync_;
  std::filesystem::path path_;       // as the user gave it
  std::filesystem::path target_;     // what is replaced: path_ with its symbolic links resolved
  std::filesystem::path temporary_;  // empty: the target is written directly
  int descriptor_ = -1;
};

/// Writes a whole file, see AtomicFile. Throws RuntimeError.
void write_file(const std::filesystem::path& path, std::string_view text, Sync sync = Sync::yes);

/// Throws RuntimeError if an AtomicFile could not write this file. Leaves everything unchanged, and
/// neither waits for a FIFO's reader nor ends its input.
void expect_writable(const std::filesystem::path& path);

/// Whether AtomicFile writes this file directly: a device, a FIFO or an open descriptor, which has
/// no folder that further files could be written to.
bool is_written_directly(const std::filesystem::path& path);

/// Whether a name is one that AtomicFile left behind when its process was killed.
bool is_temporary_name(std::string_view name);

}  // namespace tessera
