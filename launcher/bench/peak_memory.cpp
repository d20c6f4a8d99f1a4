#include "launcher/bench/peak_memory.h"

#include <malloc.h>

#include <fstream>
#include <sstream>
#include <string>

#include "core/error.h"

namespace tessera::bench {

void begin_peak() {
  malloc_trim(0);
  std::ofstream file("/proc/self/clear_refs");
  file << "5";  // resets VmHWM, see proc(5)
  if (!file.flush())
    throw RuntimeError(
        "bench: expected to reset the peak of memory through /proc/self/clear_refs, "
        "got a failed write.");
}

Memory memory_of_process() {
  std::ifstream file("/proc/self/status");
  Memory memory;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    int64_t kib = 0;
    if (!(words >> key >> kib)) continue;
    if (key == "VmRSS:") memory.resident = 1024 * kib;
    if (key == "VmHWM:") memory.peak = 1024 * kib;
  }
  if (memory.peak == 0) throw RuntimeError("bench: expected VmHWM in /proc/self/status, got none.");
  return memory;
}

}  // namespace tessera::bench
