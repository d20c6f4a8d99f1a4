#pragma once

#include <string>
#include <string_view>

#include "launcher/weights/pickle/element_type.h"

namespace tessera::pickle {

/// What a global means to a reader of weights. None is ever called.
enum class Role : uint8_t {
  kInert,           // any class that stands beside the weights: its name is shown, never needed
  kMapping,         // a dict by another name
  kStorage,         // a PyTorch storage of elements of one type
  kTensor,          // PyTorch's functions that make a tensor of a storage
  kParameter,       // ... a parameter of a tensor
  kTensorSubclass,  // ... a tensor with attributes
  kOtherTensor,     // ... a tensor of a kind that weights do not have (sparse, quantised)
  kStoredStorage,   // ... a storage of bytes that torch.save wrote
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

/// The global of that name that this reader knows, or nullptr. Every other one is inert.
const Global* find_global(std::string_view module, std::string_view name);

/// Whether a pickle that names this global is meant to run code when Python loads it: functions
/// that start programs, evaluate text or load other pickles. Here nothing runs, but such a file is
/// refused, so that nobody opens it elsewhere.
bool runs_code(std::string_view module, std::string_view name);

/// "module.name" as printable text, cut where it is long.
std::string text_of(const Global& global);

}  // namespace tessera::pickle
