#include "core/ops/cuda/operators.cuh"

namespace tessera::cuda {

using kernels::MsDeformAttnSizes;

template <typename T>
cudaError_t ms_deform_attn_forward(const MsDeformAttnSizes& sizes, const kernels::Level* levels,
                                   const T* value, const Acc<T>* locations, const Acc<T>* weights,
                                   T* output, cudaStream_t stream) {
  return forward(MsGeometry<Acc<T>>(sizes, levels, locations, weights), value, output, stream);
}

template <typename T>
cudaError_t ms_deform_attn_backward(const MsDeformAttnSizes& sizes, const kernels::Level* levels,
                                    const T* grad_output, const T* value, const Acc<T>* locations,
                                    const Acc<T>* weights, const ValueGradient<T>& grad_value,
                                    Acc<T>* grad_locations, Acc<T>* grad_weights,
                                    cudaStream_t stream) {
  return backward(MsGeometry<Acc<T>>(sizes, levels, locations, weights), grad_output, value,
                  grad_value, grad_locations, grad_weights, stream);
}

int64_t ms_deform_attn_num_bins(const MsDeformAttnSizes& sizes, const kernels::Level* levels) {
  return num_bins(MsGeometry<float>(sizes, levels, nullptr, nullptr));
}

template <typename A>
cudaError_t ms_deform_attn_bins(const MsDeformAttnSizes& sizes, const kernels::Level* levels,
                                const A* locations, int32_t* bins, cudaStream_t stream) {
  return point_bins(MsGeometry<A>(sizes, levels, locations, nullptr), bins, stream);
}

#define TESSERA_INSTANTIATE(T)                                                                    \
  template cudaError_t ms_deform_attn_forward<T>(const MsDeformAttnSizes&, const kernels::Level*, \
                                                 const T*, const Acc<T>*, const Acc<T>*, T*,      \
                                                 cudaStream_t);                                   \
  template cudaError_t ms_deform_attn_backward<T>(                                                \
      const MsDeformAttnSizes&, const kernels::Level*, const T*, const T*, const Acc<T>*,         \
      const Acc<T>*, const ValueGradient<T>&, Acc<T>*, Acc<T>*, cudaStream_t);
TESSERA_INSTANTIATE(float)
TESSERA_INSTANTIATE(double)
TESSERA_INSTANTIATE(__half)
TESSERA_INSTANTIATE(__nv_bfloat16)
template cudaError_t ms_deform_attn_bins<float>(const MsDeformAttnSizes&, const kernels::Level*,
                                                const float*, int32_t*, cudaStream_t);
template cudaError_t ms_deform_attn_bins<double>(const MsDeformAttnSizes&, const kernels::Level*,
                                                 const double*, int32_t*, cudaStream_t);
#undef TESSERA_INSTANTIATE

}  // namespace tessera::cuda
