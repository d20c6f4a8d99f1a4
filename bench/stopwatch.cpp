#include "bench/stopwatch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>

namespace tessera::bench {
namespace {

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::vector<double> interleaved_medians(const std::vector<Contestant>& contestants, int rounds) {
  std::vector<std::vector<double>> seconds(contestants.size());
  for (int round = 0; round <= rounds; ++round) {
    for (size_t i = 0; i < contestants.size(); ++i) {
      const double taken = seconds_of(contestants[i].run);
      if (round > 0) seconds[i].push_back(taken);
    }
  }
  std::vector<double> medians;
  for (const auto& taken : seconds) medians.push_back(median(taken));
  return medians;
}

double memory_bandwidth() {
  constexpr int64_t kFloats = int64_t{64} << 20;  // 256 MiB, beyond the last cache
  const at::Tensor from = at::ones({kFloats});
  at::Tensor to = at::empty_like(from);
  const double seconds = interleaved_medians({{"copy", [&] { to.copy_(from); }}}, 5).front();
  return 2.0 * kFloats * sizeof(float) / seconds;
}

}  // namespace tessera::bench
