// Reads the bytes as a weight file: every table, every tensor's data. A DataError is right for
// damaged bytes; anything else (another error, a crash, memory beyond a multiple of the file's
// size) is a fault. libFuzzer's entry; docs/weights.md says how to run it,
// tests/pickle/fuzz_test.cpp runs it on a fixed set of damaged files.

#include <cstddef>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <vector>

#include "core/error.h"
#include "launcher/weights/pickle/pickled_file.h"

namespace {

/// The promise that whoever copies a tensor's elements relies on.
void check_reach(const tessera::pickle::PickledTensor& tensor, size_t num_elements) {
  int64_t first = tensor.offset, last = tensor.offset;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] == 0) return;
    last += (tensor.shape[i] - 1) * tensor.strides[i];
  }
  if (first < 0 || last < first || static_cast<uint64_t>(last) >= num_elements)
    throw std::logic_error("a tensor reaches beyond its storage");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    tessera::pickle::PickledFile file({reinterpret_cast<const char*>(data), size}, "fuzz");
    for (const std::string& key : file.tables()) {
      std::set<size_t> storages;
      for (const auto& tensor : file.table(key).tensors) {
        const auto& storage = file.storage(tensor.storage);
        check_reach(tensor, storage.bytes / tessera::pickle::element_facts(storage.type).bytes);
        if (!storages.insert(tensor.storage).second) continue;
        std::vector<char> bytes(storage.bytes);
        file.read(tensor.storage, bytes.data());
      }
    }
  } catch (const tessera::DataError&) {
    // What a damaged file should give.
  }
  return 0;
}
