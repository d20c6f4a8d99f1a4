#include "launcher/training/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <stdlib.h>

#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "launcher/cpu_limits.h"
#include "launcher/freed_memory.h"

namespace tessera {
namespace {

/// Threads of this process beside the others of the world on the same machine.
int64_t threads_beside_others(const World& world) {
  const std::vector<CpuLimit> limits = cpu_limits();
  const std::vector<int64_t> own = affinity_mask();
  std::ostringstream text;
  text << world.host();
  for (const int64_t processor : own) text << ' ' << processor;
  std::vector<std::vector<int64_t>> masks;
  for (const std::string& of_rank : world.gather_everywhere(text.str())) {
    std::istringstream stream(of_rank);
    std::string host;
    stream >> host;
    if (host != world.host()) continue;
    auto& mask = masks.emplace_back();
    for (int64_t processor = 0; stream >> processor;) mask.push_back(processor);
  }
  return usable_threads_beside(limits, own, masks);
}

}  // namespace

at::Device prepare_device(const TrainOptions& options, const World& world) {
  keep_freed_memory();
  const int64_t threads = options.threads > 0 ? options.threads : threads_beside_others(world);
  at::set_num_threads(static_cast<int>(threads));
  if (options.deterministic) {
    // cuBLAS reads this when it starts; a value that the user chose stays.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
  }
  return choose_device(options, world.local_rank());
}

at::Device choose_device(const TrainOptions& options, int64_t local_rank) {
  if (options.device == "cpu") return at::Device(at::kCPU);
  const bool available = at::hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0;
  if (available) {
    const auto devices = static_cast<int64_t>(at::detail::getCUDAHooks().deviceCount());
    return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(local_rank % devices));
  }
  if (options.device == "cuda")
    throw RuntimeError(
        "train.device: expected a GPU for \"cuda\", got none. Use a build of LibTorch "
        "with CUDA on a machine with a GPU, or train.device = \"cpu\".");
  return at::Device(at::kCPU);
}

}  // namespace tessera
