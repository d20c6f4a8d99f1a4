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
  std::string format;  // "safetensors", "Tessera checkpoint", or pickle::PickledFile's
  std::string table;   // its key in the file; "" where the file is one state dict
  TensorList tensors;  // on the CPU; those that share storage do so here, too
  std::vector<pickle::OtherEntry> unsupported{};  // tensors that cannot be read, and what they are
  std::vector<pickle::OtherEntry> others{};       // what stands beside it: metadata, epoch, args
  TensorMetadata metadata{};                      // of a safetensors file
  std::string unused_key{};                       // a key that the file has no tables for
};

/// Whether the file is one that Python pickled (PyTorch's .pth, detectron2's .pkl), by its content.
/// False for a file that cannot be read.
bool is_pickled(const std::filesystem::path& file);

/// What a key means for a file that is one table: an error, or nothing (WeightFile::unused_key).
enum class KeyUse : uint8_t { kRequired, kIfTables };

/// Reads a safetensors file, or a pickled one without executing anything in it. `key` chooses among
/// the state dicts of a pickled file, by a path with dots ("state.model"), and is needed if there
/// are several. Of a checkpoint of `tessera train` the model's tensors are read. Throws DataError
/// as read_safetensors and pickle::PickledFile do, for a key that is not there, and for several
/// state dicts without a key.
WeightFile read_weights(const std::filesystem::path& file,
                        const std::optional<std::string>& key = std::nullopt,
                        KeyUse key_use = KeyUse::kRequired);

/// The metadata of a safetensors file, without its tensors; none of a pickled file.
TensorMetadata weight_metadata(const std::filesystem::path& file);

/// Throws DataError that names tensors which cannot be read and must not be left out in silence.
void refuse_unsupported(const std::vector<pickle::OtherEntry>& unsupported,
                        const std::string& file);

}  // namespace tessera
