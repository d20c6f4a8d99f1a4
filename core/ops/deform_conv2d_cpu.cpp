// deform_conv2d on the CPU: every thread takes tiles of output positions, samples a tile's columns
// into memory that stays in its cache, and multiplies them by the weights at once.

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "core/ops/conv_product.h"
#include "core/ops/deform_conv2d_sizes.h"
#include "core/ops/kernels/deform_columns.h"

namespace tessera {
namespace {

using kernels::DeformColumnsSizes;
using ops::ConvSizes;
using ops::OptionalTensor;
using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// Positions of a tile: columns of a quarter MiB, so that they and the weights fit a core's cache.
int64_t tile_size(const ConvSizes& s) {
  constexpr int64_t kTileNumbers = 65536;
  return std::clamp<int64_t>(kTileNumbers / std::max<int64_t>(1, s.taps * s.in_channels), 16, 4096);
}

// The arrays of one call, dense and by image.
template <typename T>
struct ConvData {
  DeformColumnsSizes sizes;
  const ConvSizes& s;
  kernels::ImageStrides strides;
  const T *input, *offset, *mask;
  int64_t input_size, offset_size, mask_size, packed_size;

  const T* mask_of(int64_t n) const { return mask == nullptr ? nullptr : mask + n * mask_size; }
};

// Images where their memory format has them: [N,C,H,W] or channels last.
at::Tensor dense_images(const at::Tensor& input) {
  return input.is_contiguous(at::MemoryFormat::ChannelsLast) ? input : input.contiguous();
}

template <typename T>
ConvData<T> conv_data(const ConvSizes& s, const at::Tensor& images, const at::Tensor& offset,
                      const at::Tensor& mask, at::IntArrayRef stride, at::IntArrayRef padding,
                      at::IntArrayRef dilation, int64_t offset_groups) {
  const DeformColumnsSizes sizes = {images.size(2), images.size(3), s.in_channels, offset_groups,
                                    s.kernel[0],    s.kernel[1],    s.out_height,  s.out_width,
                                    stride[0],      stride[1],      padding[0],    padding[1],
                                    dilation[0],    dilation[1]};
  const bool planes = images.is_contiguous();
  const int64_t rows = sizes.height * sizes.width;
  return {sizes,
          s,
          {planes ? rows : 1, planes ? 1 : s.in_channels},
          images.const_data_ptr<T>(),
          offset.const_data_ptr<T>(),
          mask.defined() ? mask.const_data_ptr<T>() : nullptr,
          s.in_channels * rows,
          2 * offset_groups * s.taps * s.positions(),
          offset_groups * s.taps * s.positions(),
          kernels::packed_image_size<T>(sizes)};
}

// The work of one call as tasks: `segments` of every image, so that few images occupy many threads,
// too. As many whatever the threads, so that sums over segments keep their bits.
struct Tasks {
  int64_t segments, segment_size;

  explicit Tasks(const ConvSizes& s) {
    constexpr int64_t kWanted = 16;
    constexpr int64_t kLeastPositions = 64;
    segments = std::clamp<int64_t>((kWanted - 1) / std::max<int64_t>(1, s.batch) + 1, 1,
                                   std::max<int64_t>(1, s.positions() / kLeastPositions));
    segment_size = (s.positions() + segments - 1) / segments;
  }
};

// Packed images: all of them where several tasks share one, else one at a time for each thread.
template <typename T>
class PackedImages {
 public:
  PackedImages(const ConvData<T>& data, bool shared, const at::Tensor& like) : data_(data) {
    if (!shared) return;
    all_ = at::empty({data.s.batch, data.packed_size}, like.options());
    T* to = all_.mutable_data_ptr<T>();
    at::parallel_for(0, data.s.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) pack(n, to + n * data.packed_size);
    });
  }
  /// Numbers that a thread needs for image().
  int64_t buffer_size() const { return all_.defined() ? 0 : data_.packed_size; }
  /// Image n; in `buffer` where it is not shared.
  const T* image(int64_t n, T* buffer) const {
    if (all_.defined()) return all_.const_data_ptr<T>() + n * data_.packed_size;
    pack(n, buffer);
    return buffer;
  }

 private:
  void pack(int64_t n, T* to) const {
    kernels::pack_image(data_.sizes, data_.input + n * data_.input_size, data_.strides, to);
  }

  const ConvData<T>& data_;
  at::Tensor all_;
};

at::Tensor forward_cpu(const at::Tensor& input, const at::Tensor& offset,
                       const OptionalTensor& mask, const at::Tensor& weight,
                       const OptionalTensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                       at::IntArrayRef dilation, int64_t groups, int64_t offset_groups,
                       bool /*border_gradient*/) {
  const ConvSizes s = ops::conv_sizes(input, offset, mask, weight, bias, stride, padding, dilation,
                                      groups, offset_groups);
  const at::Tensor images = dense_images(input);
  const at::Tensor dense_offset = offset.contiguous();
  const at::Tensor dense_mask = ops::is_set(mask) ? mask->contiguous() : at::Tensor();
  const at::Tensor matrix = ops::weight_matrix(weight, s);
  const at::Tensor dense_bias = ops::is_set(bias) ? bias->contiguous() : at::Tensor();
  at::Tensor output = at::empty({s.batch, s.out_channels, s.out_height, s.out_width},
                                input.options().memory_format(at::MemoryFormat::Contiguous));
  const at::Tensor outputs = output.view({s.batch, s.out_channels, s.positions()});
  const Tasks tasks(s);
  const int64_t tile = std::min(tile_size(s), tasks.segment_size);
  ops::with_float_type(input, [&](auto zero) {
    using T = decltype(zero);
    const auto data =
        conv_data<T>(s, images, dense_offset, dense_mask, stride, padding, dilation, offset_groups);
    const PackedImages<T> packed(data, tasks.segments > 1, images);
    ops::ConvProduct<T> product(s, matrix, dense_bias);
    product.prepare_output();
    at::parallel_for(0, s.batch * tasks.segments, 1, [&](int64_t begin, int64_t end) {
      const at::NoGradGuard no_grad;
      at::Tensor columns = at::empty({tile, product.column_size()}, images.options());
      at::Tensor product_buffer = at::empty({product.buffer_size(tile)}, images.options());
      at::Tensor image_buffer = at::empty({packed.buffer_size()}, images.options());
      for (int64_t task = begin; task < end; ++task) {
        const int64_t n = task / tasks.segments;
        const T* image = packed.image(n, image_buffer.mutable_data_ptr<T>());
        const int64_t start = task % tasks.segments * tasks.segment_size;
        const int64_t stop = std::min(s.positions(), start + tasks.segment_size);
        for (int64_t first = start; first < stop; first += tile) {
          const int64_t count = std::min(tile, stop - first);
          kernels::deform_columns_forward(data.sizes, image, data.offset + n * data.offset_size,
                                          data.mask_of(n), columns.mutable_data_ptr<T>(),
                                          product.column_size(), first, first + count);
          product.output(columns, count, first, outputs.select(0, n),
                         product_buffer.mutable_data_ptr<T>());
        }
      }
    });
  });
  return output;
}

Gradients backward_cpu(const at::Tensor& grad_output, const at::Tensor& input,
                       const at::Tensor& offset, const OptionalTensor& mask,
                       const at::Tensor& weight, const OptionalTensor& bias, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
                       int64_t offset_groups, bool border_gradient) {
  const ConvSizes s = ops::conv_sizes(input, offset, mask, weight, bias, stride, padding, dilation,
                                      groups, offset_groups, grad_output);
  const auto border =
      border_gradient ? kernels::Border::kOneSidedGradient : kernels::Border::kNoGradient;
  const at::Tensor images = dense_images(input);
  const at::Tensor dense_offset = offset.contiguous();
  const at::Tensor dense_mask = ops::is_set(mask) ? mask->contiguous() : at::Tensor();
  const at::Tensor matrix = ops::weight_matrix(weight, s);
  const at::Tensor grads = grad_output.contiguous().view({s.batch, s.out_channels, s.positions()});
  at::Tensor grad_images = at::empty_like(images);
  at::Tensor grad_offset = at::empty_like(dense_offset);
  at::Tensor grad_mask = dense_mask.defined() ? at::empty_like(dense_mask) : at::Tensor();
  const Tasks tasks(s);
  const int64_t segments = tasks.segments;
  const int64_t tile = std::min(tile_size(s), tasks.segment_size);
  at::Tensor grad_weight;
  ops::with_float_type(input, [&](auto zero) {
    using T = decltype(zero);
    const auto data =
        conv_data<T>(s, images, dense_offset, dense_mask, stride, padding, dilation, offset_groups);
    ops::ConvProduct<T> product(s, matrix, {});
    product.prepare_grad_columns();
    // Of every task its own, so that their sum does not depend on who was first.
    const at::Tensor grad_matrices =
        at::zeros({s.batch * segments, s.groups, s.group_out(), product.grad_matrix_size()},
                  matrix.options());
    const bool shared = segments > 1;
    const PackedImages<T> packed(data, shared, images);
    // Gradients of the segments of an image are added up in the end.
    at::Tensor grad_packed =
        at::empty({shared ? s.batch : 0, segments, data.packed_size}, images.options());
    T* grad_packed_data = grad_packed.mutable_data_ptr<T>();
    T* grad_image_data = grad_images.mutable_data_ptr<T>();
    T* grad_offset_data = grad_offset.mutable_data_ptr<T>();
    T* grad_mask_data = grad_mask.defined() ? grad_mask.mutable_data_ptr<T>() : nullptr;
    at::parallel_for(0, s.batch * segments, 1, [&](int64_t begin, int64_t end) {
      const at::NoGradGuard no_grad;
      // The numbers beyond the last tap's are multiplied, too: zeros.
      at::Tensor columns = at::zeros({tile, product.column_size()}, images.options());
      at::Tensor grad_columns = at::empty_like(columns);
      at::Tensor image_buffer = at::empty({packed.buffer_size()}, images.options());
      at::Tensor grad_image_buffer = at::empty_like(image_buffer);
      for (int64_t task = begin; task < end; ++task) {
        const int64_t n = task / segments;
        const T* image = packed.image(n, image_buffer.mutable_data_ptr<T>());
        const T* image_offset = data.offset + n * data.offset_size;
        T* grad_image = shared ? grad_packed_data + task * data.packed_size
                               : grad_image_buffer.mutable_data_ptr<T>();
        std::fill_n(grad_image, data.packed_size, T(0));
        const int64_t start = task % segments * tasks.segment_size;
        const int64_t stop = std::min(s.positions(), start + tasks.segment_size);
        for (int64_t first = start; first < stop; first += tile) {
          const int64_t count = std::min(tile, stop - first);
          // Sampling again costs less than keeping every column since the forward pass.
          kernels::deform_columns_forward(data.sizes, image, image_offset, data.mask_of(n),
                                          columns.mutable_data_ptr<T>(), product.column_size(),
                                          first, first + count);
          product.add_grad_matrix(grads.select(0, n), columns, count, first,
                                  grad_matrices.select(0, task));
          product.grad_columns(grads.select(0, n), count, first, grad_columns);
          const T* grad_column_data = grad_columns.const_data_ptr<T>();
          kernels::deform_columns_backward_offset(
              data.sizes, border, grad_column_data, product.column_size(), image, image_offset,
              data.mask_of(n), grad_offset_data + n * data.offset_size,
              grad_mask_data == nullptr ? nullptr : grad_mask_data + n * data.mask_size, first,
              first + count);
          kernels::deform_columns_backward_image(data.sizes, grad_column_data,
                                                 product.column_size(), image_offset,
                                                 data.mask_of(n), grad_image, first, first + count);
        }
        if (!shared) {
          kernels::unpack_image(data.sizes, grad_image, grad_image_data + n * data.input_size,
                                data.strides);
        }
      }
    });
    grad_weight = ops::weight_of_matrix(
        grad_matrices.sum(0).narrow(-1, 0, s.taps * s.group_in()).contiguous(), weight, s);
    if (!shared) return;
    const at::Tensor whole = grad_packed.sum(1);
    const T* whole_data = whole.const_data_ptr<T>();
    at::parallel_for(0, s.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        kernels::unpack_image(data.sizes, whole_data + n * data.packed_size,
                              grad_image_data + n * data.input_size, data.strides);
      }
    });
  });
  const at::Tensor grad_bias =
      ops::is_set(bias) ? grad_output.sum(at::IntArrayRef{0, 2, 3}) : at::Tensor();
  return {grad_images, grad_offset, grad_mask, grad_weight, grad_bias};
}

}  // namespace
}  // namespace tessera

TORCH_LIBRARY_IMPL(tessera, CPU, m) {
  m.impl("deform_conv2d", TORCH_FN(tessera::forward_cpu));
  m.impl("deform_conv2d_backward", TORCH_FN(tessera::backward_cpu));
}
