#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace tessera::pickle {

/// A zip file in memory, as torch.save writes it: entries are stored as they are, so nothing in it
/// is larger than the file. Read with libzip.
class ZipArchive {
 public:
  /// `bytes` must outlive this; `file` begins every message. Throws DataError for a file that is
  /// no zip file or damaged, and for an entry that is there twice.
  ZipArchive(std::string_view bytes, std::string file);
  ~ZipArchive();

  struct Entry {
    uint64_t index = 0, size = 0;
    bool is_stored = true;  // neither compressed nor encrypted
  };
  const std::map<std::string, Entry>& entries() const { return entries_; }
  /// The entry of that name, or nullptr.
  const Entry* find(const std::string& name) const;

  /// Copies `size` bytes of an entry to `to`. Throws DataError where it is not stored as it is, or
  /// its checksum does not hold.
  void read(const std::string& name, const Entry& entry, void* to) const;
  std::string read(const std::string& name, const Entry& entry) const;

 private:
  struct Archive;
  std::unique_ptr<Archive> archive_;
  std::string file_;
  std::map<std::string, Entry> entries_;
};

}  // namespace tessera::pickle
