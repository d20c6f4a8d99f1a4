#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace tessera {

/// Float32 for the half types that autocast computes in; float32 and double stay.
inline at::ScalarType full_precision(at::ScalarType type) {
  return type == at::kHalf || type == at::kBFloat16 ? at::kFloat : type;
}

/// For what autocast must not round: places in a frame (bfloat16 cannot tell a wide frame's
/// neighbouring pixels apart), sums over layers, everything that losses see. Undefined stays.
inline at::Tensor to_full_precision(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.to(full_precision(tensor.scalar_type())) : tensor;
}

/// Switches autocast off for a scope: operators then run in the type of their inputs.
struct NoAutocast {
  c10::impl::ExcludeDispatchKeyGuard guard{c10::autocast_dispatch_keyset};
};

}  // namespace tessera
