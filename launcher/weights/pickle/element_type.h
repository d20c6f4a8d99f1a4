#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tessera::pickle {

/// What a tensor's elements are; the types that safetensors files have, too.
enum class ElementType : uint8_t {
  kFloat64,
  kFloat32,
  kFloat16,
  kBfloat16,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUint8,
  kBool
};

struct ElementFacts {
  std::string_view name;  // PyTorch's and NumPy's
  size_t bytes;
};

constexpr ElementFacts element_facts(ElementType type) {
  constexpr ElementFacts kFacts[] = {
      {"float64", 8}, {"float32", 4}, {"float16", 2}, {"bfloat16", 2}, {"int64", 8},
      {"int32", 4},   {"int16", 2},   {"int8", 1},    {"uint8", 1},    {"bool", 1}};
  return kFacts[static_cast<size_t>(type)];
}

}  // namespace tessera::pickle
