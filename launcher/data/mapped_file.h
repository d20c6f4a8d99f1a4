#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace tessera::data {

/// A file mapped into memory to be read, or text that is in memory already.
class MappedFile {
 public:
  /// Maps nothing where the file cannot be mapped (missing, empty, a folder, a pipe): text() is
  /// empty.
  explicit MappedFile(const std::filesystem::path& file);
  /// Holds `text`, with some room behind it.
  explicit MappedFile(std::string text);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view text() const { return {data_, size_}; }
  /// Bytes that may be read from the end of `part`, which must lie in text(): the rest of its last
  /// page counts, too.
  size_t readable_after(std::string_view part) const;
  /// Says that `part` has been used. Now and then memory of the whole file is let go of; reading it
  /// again brings it back. Of what was said to be used, at most 16 MB stay in memory.
  void release(std::string_view part) const;

 private:
  std::string own_;  // empty: mapped
  const char* data_ = nullptr;
  size_t size_ = 0;
  mutable std::atomic<size_t> released_ = 0;
};

}  // namespace tessera::data
