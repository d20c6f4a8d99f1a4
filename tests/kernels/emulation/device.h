#pragma once
// A stand-in for a CUDA device, for tests: runs kernels, compiled as C++ from the same source, on
// the host. The threads of a block are fibers; a fiber runs until a barrier or a shuffle, and from
// there only goes on when all that the operation names have come to it. Between those, threads run
// in any order: the blocks' and the threads' order is shuffled by a seed, so that a missing barrier
// shows as a wrong or changing result. Blocks run one after the other. What only the hardware can
// show is not shown: time, caches, and the order of memory between blocks.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>

namespace tessera::emulation {

struct Dimensions {
  unsigned x = 1, y = 1, z = 1;
};

/// What a kernel did that a device would not define.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Seed of the order of blocks and threads from now on; 0: ascending.
void set_order(uint64_t seed);

/// Runs `thread` for every thread of every block. Throws Fault where barriers or shuffles do not
/// meet; the numbers in memory mean nothing then.
void run(Dimensions blocks, Dimensions threads, const std::function<void()>& thread);

/// Of the thread that runs.
struct Indices {
  Dimensions thread, block, threads_of_block, blocks_of_grid;
};
const Indices& indices();

void block_barrier();
void warp_barrier(unsigned mask);
/// Waits for the lanes of `mask`, and puts what lane `from` gave as `bytes` in their place.
void exchange(unsigned mask, int from, void* bytes, size_t size);

template <typename T>
T shuffle(unsigned mask, T value, int from) {
  exchange(mask, from, &value, sizeof(T));
  return value;
}

}  // namespace tessera::emulation
