#pragma once

#include <ATen/core/Tensor.h>

namespace tessera {

/// Sums `values` over a group of one GPU by libtessera_nccl.so: shows that the library is found,
/// fits LibTorch and runs. out: the sum, which is `values`. Throws where the library is not found.
at::Tensor sum_by_nccl_alone(const at::Tensor& values);

}  // namespace tessera
