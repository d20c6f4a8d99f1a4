#pragma once
// Seconds of several ways to do one thing, measured so that a busy machine spoils all of them
// alike.

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace tessera::bench {

/// The middle one; of an even number the upper of the two. in: at least one.
double median(std::vector<double> values);

struct Contestant {
  std::string name;
  std::function<void()> run;
};

/// The median seconds of each contestant over `rounds` rounds, in each of which every contestant
/// runs once; one round more comes first and does not count. Contestants on a GPU must wait for it.
std::vector<double> interleaved_medians(const std::vector<Contestant>& contestants, int rounds);

/// Bytes that all threads of a device together read and write in a second, copying `bytes` of its
/// memory: what its main memory takes where they are beyond every cache, else what that cache
/// takes.
double copy_bandwidth(at::Device device, int64_t bytes);

}  // namespace tessera::bench
