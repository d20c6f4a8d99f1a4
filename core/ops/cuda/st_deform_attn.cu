#include "core/ops/cuda/operators.cuh"

namespace tessera::cuda {

using kernels::StDeformAttnSizes;

template <typename T>
cudaError_t st_deform_attn_forward(const StDeformAttnSizes& sizes, const T* value,
                                   const Acc<T>* locations, const Acc<T>* weights, T* output,
                                   cudaStream_t stream) {
  return forward(StGeometry<Acc<T>>(sizes, locations, weights), value, output, stream);
}

template <typename T>
cudaError_t st_deform_attn_backward(const StDeformAttnSizes& sizes, const T* grad_output,
                                    const T* value, const Acc<T>* locations, const Acc<T>* weights,
                                    const ValueGradient<T>& grad_value, Acc<T>* grad_locations,
                                    Acc<T>* grad_weights, cudaStream_t stream) {
  return backward(StGeometry<Acc<T>>(sizes, locations, weights), grad_output, value, grad_value,
                  grad_locations, grad_weights, stream);
}

int64_t st_deform_attn_num_bins(const StDeformAttnSizes& sizes) {
  return num_bins(StGeometry<float>(sizes, nullptr, nullptr));
}

template <typename A>
cudaError_t st_deform_attn_bins(const StDeformAttnSizes& sizes, const A* locations, int32_t* bins,
                                cudaStream_t stream) {
  return point_bins(StGeometry<A>(sizes, locations, nullptr), bins, stream);
}

#define TESSERA_INSTANTIATE(T)                                                                    \
  template cudaError_t st_deform_attn_forward<T>(const StDeformAttnSizes&, const T*,              \
                                                 const Acc<T>*, const Acc<T>*, T*, cudaStream_t); \
  template cudaError_t st_deform_attn_backward<T>(                                                \
      const StDeformAttnSizes&, const T*, const T*, const Acc<T>*, const Acc<T>*,                 \
      const ValueGradient<T>&, Acc<T>*, Acc<T>*, cudaStream_t);
TESSERA_INSTANTIATE(float)
TESSERA_INSTANTIATE(double)
TESSERA_INSTANTIATE(__half)
TESSERA_INSTANTIATE(__nv_bfloat16)
template cudaError_t st_deform_attn_bins<float>(const StDeformAttnSizes&, const float*, int32_t*,
                                                cudaStream_t);
template cudaError_t st_deform_attn_bins<double>(const StDeformAttnSizes&, const double*, int32_t*,
                                                 cudaStream_t);
#undef TESSERA_INSTANTIATE

}  // namespace tessera::cuda
