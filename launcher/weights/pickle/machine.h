#pragma once

#include <string>
#include <string_view>

#include "launcher/weights/pickle/value.h"

namespace tessera::pickle {

// Limits that no weight file comes near; the values of a pickle take less than 100 bytes each.
inline constexpr size_t kMostValues = size_t{1} << 20;
inline constexpr size_t kMostNested = 200;
inline constexpr int kNewestProtocol = 5;

struct PickleOptions {
  std::string file;            // begins every message
  size_t offset = 0;           // of the pickle in its file, for messages
  bool with_storages = false;  // PyTorch's references to storages are allowed
};

/// Reads the pickle that `bytes` begins with (protocols 0 to 5), as data: no global is looked up
/// anywhere but in the list of globals.h, and none is called. Objects of other classes are inert.
/// `bytes` must outlive the result. Sizes are checked against the bytes that are there before
/// anything is allocated. Throws DataError "<file>: byte N: <opcode>: expected ..., got ..." for a
/// global that runs code, a size beyond the file, a cycle, more nesting or values than the limits,
/// or malformed data.
Pickle read_pickle(std::string_view bytes, const PickleOptions& options);

}  // namespace tessera::pickle
