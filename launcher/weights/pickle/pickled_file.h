#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/weights/pickle/tensors.h"

namespace tessera::data {
class MappedFile;
}

namespace tessera::pickle {

// Limits that no weight file comes near.
inline constexpr size_t kMostEntries = 100'000;  // of a table
inline constexpr size_t kMostTables = 64;
/// Tensors may share storages; together they take at most so many times the file's size, and
/// kSlackBytes.
inline constexpr uint64_t kMostExpansion = 8;
inline constexpr uint64_t kSlackBytes = 1 << 20;

/// Something in a file that is no tensor: shown, so that every entry is accounted for.
struct OtherEntry {
  std::string name, value;  // what describe() says of it
};

/// A state dict.
struct PickledTable {
  std::vector<PickledTensor> tensors;   // in the file's order
  std::vector<OtherEntry> unsupported;  // its tensors of types and kinds that weights cannot have
  std::vector<OtherEntry> others;       // its entries that are no tensors
};

/// A weight file that Python pickled: PyTorch's (the zip format and the one before it) or a plain
/// pickle with NumPy arrays, as detectron2 has. Nothing in it is executed; memory is bounded by the
/// file's size. Knows no LibTorch.
class PickledFile {
 public:
  /// Whether a file that begins like this is one (a zip file or a pickle).
  static bool begins_like_one(std::string_view beginning);

  /// Maps the file. Throws DataError that names what is wrong with it.
  explicit PickledFile(const std::filesystem::path& file);
  /// A file in memory that outlives this; `name` begins messages.
  PickledFile(std::string_view bytes, std::string name);
  ~PickledFile();

  /// "PyTorch (zip)", "PyTorch (legacy)" or "pickle".
  const std::string& format() const;
  /// The state dicts by their keys ("model", "model_ema"), those nearest to the root; a key within
  /// tables has dots ("state.model"); "" if the whole file is one.
  const std::vector<std::string>& tables() const;
  /// What stands beside them: epoch, args, the optimiser's state.
  const std::vector<OtherEntry>& others() const;

  /// One of tables(), or another state dict by its path ("optimizer.state"). Throws DataError for a
  /// tensor that is not sound, a name that is given twice, and tensors that together are far larger
  /// than the file.
  PickledTable table(const std::string& key);

  const PickledStorage& storage(size_t index) const;
  /// Copies a storage's `bytes` to `to`. Throws DataError for a checksum that does not hold, and
  /// for a bool that is neither 0 nor 1.
  void read(size_t storage, void* to) const;

 private:
  class Content;
  std::unique_ptr<data::MappedFile> mapping_;  // of a file that was mapped here
  std::unique_ptr<Content> content_;
};

}  // namespace tessera::pickle
