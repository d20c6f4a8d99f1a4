#include "bench/stopwatch.h"

#include <ATen/ATen.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <algorithm>
#include <chrono>

namespace tessera::bench {
namespace {

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

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

double copy_bandwidth(at::Device device, int64_t bytes) {
  constexpr int64_t kLeastBytes = int64_t{1} << 28;  // copied between two looks at the clock
  const at::Tensor from =
      at::ones({bytes / int64_t{sizeof(float)}}, at::TensorOptions(at::kFloat).device(device));
  at::Tensor to = at::empty_like(from);
  const int64_t copies = std::max<int64_t>(1, kLeastBytes / bytes);
  const auto copy = [&] {
    for (int64_t i = 0; i < copies; ++i) to.copy_(from);
    if (device.is_cuda()) at::detail::getCUDAHooks().deviceSynchronize(0);
  };
  return 2.0 * static_cast<double>(bytes * copies) /
         interleaved_medians({{"copy", copy}}, 5).front();
}

}  // namespace tessera::bench
