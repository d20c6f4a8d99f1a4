#include "core/ops/cuda/operators.cuh"

namespace tessera::cuda {

using kernels::Border;
using kernels::DeformColumnsSizes;

template <typename T>
cudaError_t deform_columns_forward(const DeformColumnsSizes& sizes, const T* image, const T* offset,
                                   const T* mask, T* columns, cudaStream_t stream) {
  return forward(ColumnsGeometry<T>(sizes, Border::kNoGradient, offset, mask), image, columns,
                 stream);
}

template <typename T>
cudaError_t deform_columns_backward(const DeformColumnsSizes& sizes, Border border,
                                    const T* grad_columns, const T* image, const T* offset,
                                    const T* mask, const ValueGradient<T>& grad_image,
                                    T* grad_offset, T* grad_mask, cudaStream_t stream) {
  return backward(ColumnsGeometry<T>(sizes, border, offset, mask), grad_columns, image, grad_image,
                  grad_offset, grad_mask, stream);
}

int64_t deform_columns_num_bins(const DeformColumnsSizes& sizes) {
  return num_bins(ColumnsGeometry<float>(sizes, Border::kNoGradient, nullptr, nullptr));
}

template <typename A>
cudaError_t deform_columns_bins(const DeformColumnsSizes& sizes, const A* offset, int32_t* bins,
                                cudaStream_t stream) {
  return point_bins(ColumnsGeometry<A>(sizes, Border::kNoGradient, offset, nullptr), bins, stream);
}

#define TESSERA_INSTANTIATE(T)                                                                  \
  template cudaError_t deform_columns_bins<T>(const DeformColumnsSizes&, const T*, int32_t*,    \
                                              cudaStream_t);                                    \
  template cudaError_t deform_columns_forward<T>(const DeformColumnsSizes&, const T*, const T*, \
                                                 const T*, T*, cudaStream_t);                   \
  template cudaError_t deform_columns_backward<T>(const DeformColumnsSizes&, Border, const T*,  \
                                                  const T*, const T*, const T*,                 \
                                                  const ValueGradient<T>&, T*, T*, cudaStream_t);
TESSERA_INSTANTIATE(float)
TESSERA_INSTANTIATE(double)
#undef TESSERA_INSTANTIATE

}  // namespace tessera::cuda
