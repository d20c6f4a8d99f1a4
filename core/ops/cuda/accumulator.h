#pragma once

namespace tessera::cuda {

template <typename T>
struct AccumulatorOf {
  using Type = float;
};
template <>
struct AccumulatorOf<double> {
  using Type = double;
};

/// What numbers of type T (double, float, __half, __nv_bfloat16) are computed in, and what the
/// locations and weights beside them are.
template <typename T>
using Acc = typename AccumulatorOf<T>::Type;

}  // namespace tessera::cuda
