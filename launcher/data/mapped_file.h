#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace tessera::data {

/// A file mapped into memory to be read.
class MappedFile {
 public:
  /// Maps nothing where the file cannot be mapped (missing, empty, a folder, a pipe): text() is
  /// empty.
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view text() const { return {data_, size_}; }
  /// Bytes that may be read from the end of `part`, which must lie in text(): the rest of its last
  /// page counts, too.
  size_t readable_after(std::string_view part) const;
  /// Lets go of the pages that lie in `part` as a whole; reading them again brings them back.
  void release(std::string_view part) const;

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tessera::data
