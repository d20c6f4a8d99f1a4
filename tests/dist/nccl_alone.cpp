#include "tests/dist/nccl_alone.h"

#include <ATen/ops/clone.h>
#include <dlfcn.h>

#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "core/error.h"
#include "launcher/distributed/nccl_backend.h"

namespace tessera {

at::Tensor sum_by_nccl_alone(const at::Tensor& values) {
  void* library = dlopen("libtessera_nccl.so", RTLD_NOW | RTLD_GLOBAL);
  if (!library) throw RuntimeError("expected libtessera_nccl.so, got: " + std::string(dlerror()));
  const auto make = reinterpret_cast<MakeNcclBackend*>(dlsym(library, kMakeNcclBackend));
  if (!make) throw RuntimeError("libtessera_nccl.so: expected " + std::string(kMakeNcclBackend));
  const auto backend =
      make(c10::make_intrusive<c10d::HashStore>(), /*rank=*/0, /*size=*/1, std::chrono::minutes(1));
  std::vector<at::Tensor> sum{values.clone()};
  backend->allreduce(sum)->wait();
  return sum[0];
}

}  // namespace tessera
