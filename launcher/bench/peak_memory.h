#pragma once

#include <cstdint>

namespace tessera::bench {

/// Memory of this process in bytes.
struct Memory {
  int64_t resident = 0;  // in main memory now
  int64_t peak = 0;      // the most since begin_peak()
};

/// Gives memory that is free back to the system and counts the peak from here. Throws RuntimeError
/// where the system does not allow it (it is Linux' /proc/self/clear_refs).
void begin_peak();

/// Throws RuntimeError where the system does not say.
Memory memory_of_process();

}  // namespace tessera::bench
