#pragma once
// The header of a safetensors file: JSON text <-> checked entries. Used by safetensors.cpp only.

#include <optional>
#include <string>
#include <string_view>

#include "launcher/weights/safetensors.h"

namespace tessera::safetensors_detail {

/// The format's name of a type ("F32"), or nothing where it has none.
std::optional<std::string_view> type_name(at::ScalarType type);

/// The format's names of all types that tensors here have, for messages.
std::string known_types();

/// Parses a header and checks its entries against `data_bytes`, the bytes that follow it.
/// `file` begins every message. Throws DataError.
SafetensorsHeader parse_header(const std::string& text, uint64_t data_bytes,
                               const std::string& file);

/// The JSON text of a header, padded with spaces to a multiple of 8.
std::string header_text(const SafetensorsHeader& header);

}  // namespace tessera::safetensors_detail
