#include "launcher/peak_memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <fstream>
#include <sstream>
#include <string>

#include "core/error.h"
#include "launcher/freed_memory.h"

namespace tessera {
namespace {

MemoryUse use_of_process() {
  std::ifstream file("/proc/self/status");
  MemoryUse memory;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    int64_t kib = 0;
    if (!(words >> key >> kib)) continue;
    if (key == "VmRSS:") memory.now = 1024 * kib;
    if (key == "VmHWM:") memory.peak = 1024 * kib;
  }
  if (memory.peak == 0)
    throw RuntimeError("memory: expected VmHWM in /proc/self/status, got none.");
  return memory;
}

}  // namespace

void begin_peak(at::Device device) {
  if (!device.is_cpu()) {
    c10::DeviceAllocator& allocator = *c10::getDeviceAllocator(device.type());
    allocator.emptyCache();
    allocator.resetPeakStats(device.index());
    return;
  }
  release_freed_memory();
  std::ofstream file("/proc/self/clear_refs");
  file << "5";  // resets VmHWM, see proc(5)
  if (!file.flush())
    throw RuntimeError(
        "memory: expected to reset the peak through /proc/self/clear_refs, got a failed write.");
}

MemoryUse memory_use(at::Device device) {
  if (device.is_cpu()) return use_of_process();
  const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  const auto& reserved =
      stats.reserved_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
  return {reserved.current, reserved.peak};
}

}  // namespace tessera
