// Reads the bytes as a weight file: every table, every tensor's data. A DataError is right for
// damaged bytes; anything else (another error, a crash, memory beyond a multiple of the file's
// size) is a fault.

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "core/error.h"
#include "launcher/weights/pickle/pickled_file.h"
#include "tests/fuzz/target.h"

namespace {

/// The promise that whoever copies a tensor's elements relies on.
void check_reach(const tessera::pickle::PickledTensor& tensor, size_t num_elements) {
  int64_t first = tensor.offset, last = tensor.offset;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] == 0) return;
    last += (tensor.shape[i] - 1) * tensor.strides[i];
  }
  tessera::fuzz::expect(first >= 0 && last >= first && static_cast<uint64_t>(last) < num_elements,
                        "no tensor reaches beyond its storage");
}

}  // namespace

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
