#include "launcher/peak_memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/Exception.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <new>
#include <sstream>
#include <string>
#include <string_view>

#include "core/error.h"
#include "launcher/control_groups.h"
#include "launcher/freed_memory.h"

namespace tessera {
namespace {

struct ProcessMemory {
  MemoryUse use;
  int64_t data = 0;  // address space of heap and private mappings
};

ProcessMemory memory_of_process() {
  std::ifstream file("/proc/self/status");
  ProcessMemory memory;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    int64_t kib = 0;
    if (!(words >> key >> kib)) continue;
    if (key == "VmRSS:") memory.use.now = 1024 * kib;
    if (key == "VmHWM:") memory.use.peak = 1024 * kib;
    if (key == "VmData:") memory.data = 1024 * kib;
  }
  if (memory.use.peak == 0)
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
  if (device.is_cpu()) return memory_of_process().use;
  const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  const auto& reserved =
      stats.reserved_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
  return {reserved.current, reserved.peak};
}

int64_t reachable_memory() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  for (int64_t kib = 0; file >> key >> kib; file.ignore(80, '\n'))
    if (key == "MemAvailable:") {
      const int64_t left = 1024 * kib;
      return memory_of_process().use.now + std::min(left, memory_left_by_groups().value_or(left));
    }
  throw RuntimeError("memory: expected MemAvailable in /proc/meminfo, got none.");
}

AllocationLimit::AllocationLimit(int64_t bytes) {
  rlimit limit{};
  if (getrlimit(RLIMIT_DATA, &limit) != 0)
    throw RuntimeError("memory: expected the system to tell its limit, got a failure.");
  before_ = limit.rlim_cur;
  // The system counts address space, some of which is free: only its growth can be bounded.
  const ProcessMemory memory = memory_of_process();
  const int64_t growth = std::max<int64_t>(0, bytes - memory.use.now);
  limit.rlim_cur = std::min<uint64_t>(before_, static_cast<uint64_t>(memory.data + growth));
  if (setrlimit(RLIMIT_DATA, &limit) != 0)
    throw RuntimeError("memory: expected the system to take a limit, got a failure.");
}

AllocationLimit::~AllocationLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_DATA, &limit) != 0) return;
  limit.rlim_cur = before_;
  setrlimit(RLIMIT_DATA, &limit);
}

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr)
    return true;
  const std::string_view text = error.what();
  return text.find("can't allocate memory") != text.npos ||
         text.find("out of memory") != text.npos || text.find("out_of_memory") != text.npos;
}

}  // namespace tessera
