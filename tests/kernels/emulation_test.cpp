// The emulated device finds what it is there to find: kernels that are wrong.

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace tessera::emulation {
namespace {

constexpr unsigned kAll = 0xffffffffu;

class Emulation : public testing::Test {
 protected:
  void TearDown() override { set_order(0); }

  static void run(int threads, const std::function<void()>& kernel) {
    emulation::run({}, {static_cast<unsigned>(threads)}, kernel);
  }
};

TEST_F(Emulation, ShufflesAndBarriersBehaveAsOnADevice) {
  for (const uint64_t seed : {0, 1, 2}) {
    set_order(seed);
    std::vector<int> sums(64), reversed(64);
    run(64, [&] {
      __shared__ int shared[64];
      const int i = static_cast<int>(threadIdx.x);
      int sum = i;
      for (int step = 1; step < 32; step *= 2) sum += __shfl_xor_sync(kAll, sum, step);
      sums[static_cast<size_t>(i)] = sum;
      shared[i] = i;
      __syncthreads();
      reversed[static_cast<size_t>(i)] = shared[63 - i];
    });
    for (int i = 0; i < 64; ++i) {
      EXPECT_EQ(sums[static_cast<size_t>(i)], i < 32 ? 496 : 496 + 32 * 32);
      EXPECT_EQ(reversed[static_cast<size_t>(i)], 63 - i);
    }
  }
}

TEST_F(Emulation, HalvesOfAWarpShuffleOnTheirOwn) {
  std::vector<int> got(32);
  run(32, [&] {
    const int i = static_cast<int>(threadIdx.x);
    const unsigned mask = i < 16 ? 0x0000ffffu : 0xffff0000u;
    for (int k = 0; k < (i < 16 ? 3 : 5); ++k) {
      got[static_cast<size_t>(i)] = __shfl_sync(mask, i, k, 16);
    }
  });
  EXPECT_EQ(got[7], 2);
  EXPECT_EQ(got[20], 20);
}

TEST_F(Emulation, AMissingBarrierShowsAsAChangingResult) {
  std::set<int> results;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    set_order(seed);
    int result = 0;
    run(2, [&] {
      __shared__ int shared;
      shared = static_cast<int>(threadIdx.x);  // no barrier: who is last?
      __syncthreads();
      result = shared;
    });
    results.insert(result);
  }
  EXPECT_EQ(results.size(), 2u);
}

TEST_F(Emulation, LanesAtDifferentShufflesAreFaults) {
  EXPECT_THROW(run(32,
                   [] {
                     if (threadIdx.x < 16) {
                       __shfl_xor_sync(kAll, 1, 1);
                     } else {
                       __shfl_xor_sync(kAll, 1.0, 1);
                     }
                   }),
               Fault);
  EXPECT_THROW(run(32,
                   [] {
                     if (threadIdx.x < 31) __syncwarp();
                   }),
               Fault);
  EXPECT_THROW(run(32, [] { __shfl_sync(1u << (threadIdx.x / 2 * 2), 1, 0); }), Fault);
  EXPECT_THROW(run(32,
                   [] {
                     if (threadIdx.x < 31) {
                       __syncwarp();
                     } else {
                       __syncthreads();
                     }
                   }),
               Fault);
}

TEST_F(Emulation, ReadingALaneOutsideTheMaskIsAFault) {
  EXPECT_THROW(run(32,
                   [] {
                     if (threadIdx.x < 2) __shfl_sync(3u, 1, 5);
                   }),
               Fault);
}

TEST_F(Emulation, ABarrierThatSomeThreadsSkipIsAFault) {
  EXPECT_THROW(run(64,
                   [] {
                     if (threadIdx.x < 40) __syncthreads();
                   }),
               Fault);
}

}  // namespace
}  // namespace tessera::emulation
