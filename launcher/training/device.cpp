#include "launcher/training/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <stdlib.h>

#include <algorithm>
#include <thread>

#include "core/error.h"
#include "launcher/freed_memory.h"

namespace tessera {

at::Device prepare_device(const TrainOptions& options, const World& world) {
  keep_freed_memory();
  // Stated outright: started by mpirun, torch would take one thread.
  const auto threads =
      options.threads > 0
          ? options.threads
          : static_cast<int64_t>(std::thread::hardware_concurrency()) / world.local_size();
  at::set_num_threads(static_cast<int>(std::max<int64_t>(1, threads)));
  if (options.deterministic) {
    // cuBLAS reads this when it starts; a value that the user chose stays.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
  }
  if (options.device == "cpu") return at::Device(at::kCPU);
  const bool available = at::hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0;
  if (available) {
    const auto devices = static_cast<int64_t>(at::detail::getCUDAHooks().deviceCount());
    return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(world.local_rank() % devices));
  }
  if (options.device == "cuda")
    throw RuntimeError(
        "train.device: expected a GPU for \"cuda\", got none. Use a build of LibTorch "
        "with CUDA on a machine with a GPU, or train.device = \"cpu\".");
  return at::Device(at::kCPU);
}

}  // namespace tessera
