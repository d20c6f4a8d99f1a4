#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace tessera {

/// A file that appears under its name whole or not at all: written beside it as
/// "<name>.tmp-<process>", synced, then renamed. What is not committed is removed again.
class AtomicFile {
 public:
  /// Throws RuntimeError where the folder cannot be written.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends bytes. Throws RuntimeError (a full disk, for one) naming file and cause.
  void write(const void* bytes, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Syncs and renames; after that the file is whole even where the machine loses power.
  void commit();

 private:
  [[noreturn]] void fail(const std::string& what, int error_number);

  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
};

/// Whether a name is one that AtomicFile left behind when its process was killed.
bool is_temporary_name(std::string_view name);

}  // namespace tessera
