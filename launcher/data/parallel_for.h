#pragma once

#include <cstddef>
#include <functional>

namespace tessera::data {

/// Calls body(i) for each i in [0, count) on up to `num_threads` threads (0: one for each core).
/// Rethrows the first exception of a body after all threads have stopped.
void parallel_for(size_t count, size_t num_threads, const std::function<void(size_t)>& body);

}  // namespace tessera::data
