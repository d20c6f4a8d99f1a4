#pragma once

#include <string_view>

#include "launcher/weights/pickle/element_type.h"

namespace tessera::pickle {

/// What a listed global means to a reader of weights. None is ever called.
enum class Role : uint8_t {
  kInert,           // stands beside the weights (argparse.Namespace): shown, never needed
  kMapping,         // a dict by another name
  kStorage,         // a PyTorch storage of elements of one type
  kTensor,          // PyTorch's functions that make a tensor of a storage
  kParameter,       // ... a parameter of a tensor
  kTensorSubclass,  // ... a tensor with attributes
  kArray,           // NumPy's function that makes an empty array, filled by its state
  kBufferArray,     // ... an array on a buffer (protocol 5)
  kArrayType,       // NumPy's dtype
  kEncode,          // bytes, written as text by protocols that have no bytes
  kBytes,           // bytes() and bytearray()
};

struct Global {
  std::string_view module, name;
  Role role;
  ElementType type = ElementType::kUint8;  // of kStorage
};

/// The listed global of that name, or nullptr: the list is all that a pickle may name.
const Global* find_global(std::string_view module, std::string_view name);

}  // namespace tessera::pickle
