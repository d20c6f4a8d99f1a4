#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <exception>

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

/// Main memory that this process could have: what it has, and what others and the limits of its
/// control groups leave. Throws
/// RuntimeError where the system does not say.
int64_t reachable_memory();

/// While it lives, allocations of main memory that would take this process beyond `bytes` fail
/// (std::bad_alloc, or LibTorch's error) instead of having the system end it. One at a time; for
/// trials, when no other thread works. Throws RuntimeError where the system does not allow it.
class AllocationLimit {
 public:
  explicit AllocationLimit(int64_t bytes);
  ~AllocationLimit();
  AllocationLimit(const AllocationLimit&) = delete;
  AllocationLimit& operator=(const AllocationLimit&) = delete;

 private:
  uint64_t before_ = 0;  // what the system allowed
};

/// Whether that is what such an allocation throws, or LibTorch where a GPU's memory is used up.
bool is_out_of_memory(const std::exception& error);

}  // namespace tessera
