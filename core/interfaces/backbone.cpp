#include "core/interfaces/backbone.h"

#include <ATen/ATen.h>

namespace tessera {

at::Tensor resize_padding_mask(const at::Tensor& padding_mask, int64_t height, int64_t width) {
  auto source = [&](int64_t in, int64_t out) {
    const auto options = padding_mask.options().dtype(at::kLong);
    return at::floor_divide(at::arange(out, options) * in, out);
  };
  return padding_mask.index_select(2, source(padding_mask.size(2), height))
      .index_select(3, source(padding_mask.size(3), width));
}

}  // namespace tessera
