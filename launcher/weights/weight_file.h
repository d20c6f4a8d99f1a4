#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "launcher/weights/pickle/pickled_file.h"
#include "launcher/weights/safetensors.h"

namespace tessera {

/// A state dict from any file that weights come in.
struct WeightFile {
  std::string format;  // "safetensors", or pickle::PickledFile's
  std::string table;   // its key in the file; "" where the file is one state dict
  TensorList tensors;  // on the CPU; those that share storage do so here, too
  std::vector<pickle::OtherEntry> others;  // what stands beside it: metadata, epoch, args
};

/// Whether the file is one that Python pickled (PyTorch's .pth, detectron2's .pkl), by its content.
/// False for a file that cannot be read.
bool is_pickled(const std::filesystem::path& file);

/// Reads a safetensors file, or a pickled one without executing anything in it. `key` chooses among
/// the state dicts of a pickled file and is needed where there are several. Throws DataError as
/// read_safetensors and pickle::PickledFile do, for a key that is not there, and for several state
/// dicts without a key.
WeightFile read_weights(const std::filesystem::path& file,
                        const std::optional<std::string>& key = std::nullopt);

}  // namespace tessera
