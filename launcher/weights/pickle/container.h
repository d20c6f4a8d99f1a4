#pragma once
// The three files that hold pickled tensors. Used by pickled_file.cpp only.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/weights/pickle/tensors.h"
#include "launcher/weights/pickle/zip_archive.h"

namespace tessera::pickle {

/// The object that a file holds and where its storages are.
struct Container {
  std::string format;
  std::unique_ptr<ZipArchive> archive;      // of a zip file
  std::unique_ptr<const std::string> text;  // ... and its pickle, which `pickle` points into
  Pickle pickle;
  std::vector<PickledStorage> storages;
  StorageViews views;
};

/// Reads PyTorch's zip format, its format before that (five pickles, then the storages) or a plain
/// pickle. Throws DataError.
Container read_container(std::string_view bytes, const std::string& file);

}  // namespace tessera::pickle
