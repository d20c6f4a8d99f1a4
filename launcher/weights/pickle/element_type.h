#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tessera::pickle {

/// What a tensor's elements are. Weights have those up to kBool, which safetensors files have, too;
/// the others are known so that a file that holds them can be read around them.
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
  kBool,
  kComplex64,
  kComplex128,
  kQint8,
  kQuint8,
  kQint32,
  kBytes  // of a type that only the tensor states
};

struct ElementFacts {
  std::string_view name;  // PyTorch's and NumPy's
  size_t bytes;
};

constexpr ElementFacts element_facts(ElementType type) {
  constexpr ElementFacts kFacts[] = {
      {"float64", 8}, {"float32", 4}, {"float16", 2},   {"bfloat16", 2},
      {"int64", 8},   {"int32", 4},   {"int16", 2},     {"int8", 1},
      {"uint8", 1},   {"bool", 1},    {"complex64", 8}, {"complex128", 16},
      {"qint8", 1},   {"quint8", 1},  {"qint32", 4},    {"bytes", 1}};
  return kFacts[static_cast<size_t>(type)];
}

/// Whether weights may be of this type.
constexpr bool is_supported(ElementType type) {
  return type <= ElementType::kBool;
}

}  // namespace tessera::pickle
