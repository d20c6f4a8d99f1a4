#include "launcher/data/parallel_for.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "launcher/cpu_limits.h"

namespace tessera::data {

void parallel_for(size_t count, size_t num_threads, const std::function<void(size_t)>& body) {
  if (num_threads == 0) num_threads = static_cast<size_t>(usable_threads());
  num_threads = std::min(num_threads, count);
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr first_error;
  size_t first_index = count;
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        // Indices are handed out in order, so the lowest one that fails is always reached: the
        // error does not depend on the timing of threads.
        if (i < first_index) {
          first_index = i;
          first_error = std::current_exception();
        }
        next = count;
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (size_t i = 1; i < num_threads; ++i) helpers.emplace_back(work);
    work();
  }
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace tessera::data
