#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace tessera {

/// Bytes in use: on a CPU all that this process has in main memory, on a GPU what LibTorch's
/// allocator holds of the device's.
struct MemoryUse {
  int64_t now = 0;
  int64_t peak = 0;  // the most since begin_peak()
};

/// Gives memory that is free back to the system and counts the peak from here. Throws RuntimeError
/// where the system does not allow it (on a CPU it is Linux' /proc/self/clear_refs).
void begin_peak(at::Device device);

/// Throws RuntimeError where the system does not say.
MemoryUse memory_use(at::Device device);

}  // namespace tessera
