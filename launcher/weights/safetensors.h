#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera {

using TensorList = std::vector<std::pair<std::string, at::Tensor>>;  // in the file's order
using TensorMetadata = std::map<std::string, std::string>;

/// One tensor as a header states it.
struct TensorEntry {
  std::string name;
  at::ScalarType type = at::kFloat;
  std::string unsupported;  // the format's name of a type that tensors here do not have, or ""
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes, counted from the end of the header
};

/// What a file says of itself, without its data.
struct SafetensorsHeader {
  std::vector<TensorEntry> entries;  // in the header's order
  TensorMetadata metadata;
  uint64_t data_offset = 0;  // bytes before the data
};

struct SafetensorsFile {
  TensorList tensors;
  TensorMetadata metadata;
  std::vector<std::pair<std::string, std::string>> unsupported;  // name and "a tensor of F8_E4M3"

  /// The tensor of that name, or nullptr.
  const at::Tensor* find(std::string_view name) const;
};

/// Reads and checks a header: its size, every name once, types of the format (F64 F32 F16 BF16 I64
/// I32 I16 I8 U8 BOOL, and others that are kept as TensorEntry::unsupported), offsets that cover
/// the data without gap or overlap, and a file that is as long as they say. Throws DataError naming
/// the file and, where it is one, the tensor.
SafetensorsHeader read_safetensors_header(const std::filesystem::path& file);

/// Reads a whole file into CPU tensors that own their memory. Throws DataError as
/// read_safetensors_header does, and for a BOOL byte that is neither 0 nor 1. A tensor of an
/// unsupported type is an error, too, unless `with_unsupported` asks for a list of them.
SafetensorsFile read_safetensors(const std::filesystem::path& file, bool with_unsupported = false);

/// Writes a file atomically: it is there whole or not at all, whatever happens meanwhile. Tensors
/// of any device and layout; the header keeps their order. Throws RuntimeError for a folder that
/// cannot be written, a full disk, a name given twice, or a type that the format does not have.
void write_safetensors(const std::filesystem::path& file, const TensorList& tensors,
                       const TensorMetadata& metadata = {});

}  // namespace tessera
