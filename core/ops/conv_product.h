#pragma once
// The matrix products of a deformable convolution on the CPU, tile by tile: by our own kernel where
// the weights fit a core's cache, by the library elsewhere. Not for plugins.

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

#include <algorithm>

#include "core/ops/deform_conv2d_sizes.h"
#include "core/ops/kernels/lanes.h"
#include "core/ops/kernels/small_gemm.h"

namespace tessera::ops {

/// Products of a tile of columns [count, column_size()], of which the first taps * C of each row
/// count. A tile's `count` positions begin at `first`; grads [O, positions] are one image's.
template <typename T>
class ConvProduct {
 public:
  /// `matrix` as weight_matrix makes it, `bias` [O] or undefined.
  ConvProduct(const ConvSizes& s, const at::Tensor& matrix, const at::Tensor& bias)
      : s_(s), matrix_(matrix), bias_(bias) {
    const int64_t depth = s.taps * s.in_channels;
    column_size_ = kernels::round_up_to_lanes<T>(depth);
    out_size_ = kernels::round_up_to_lanes<T>(s.out_channels);
    constexpr int64_t kCacheBytes = 512 * 1024;
    const int64_t bytes = std::max(depth * out_size_, s.out_channels * column_size_) *
                          static_cast<int64_t>(sizeof(T));
    small_ = s.groups == 1 && bytes <= kCacheBytes;
  }

  int64_t column_size() const { return column_size_; }
  /// Numbers of the memory that output() needs for a tile of `count` positions.
  int64_t buffer_size(int64_t count) const { return small_ ? count * out_size_ : 0; }

  /// What output() needs once before it is called.
  void prepare_output() {
    if (!small_) return;
    right_ = matrix_.new_zeros({s_.taps * s_.in_channels, out_size_});
    right_.narrow(1, 0, s_.out_channels).copy_(matrix_.select(0, 0).t());
  }
  /// What grad_columns() needs once before it is called.
  void prepare_grad_columns() {
    if (!small_) return;
    right_ = matrix_.new_zeros({s_.out_channels, column_size_});
    right_.narrow(1, 0, s_.taps * s_.in_channels).copy_(matrix_.select(0, 0));
  }

  /// outputs [O, positions] of one image, at the tile.
  void output(const at::Tensor& columns, int64_t count, int64_t first, at::Tensor outputs,
              T* buffer) const {
    if (small_) {
      kernels::small_gemm(columns.const_data_ptr<T>(), {column_size_, 1},
                          right_.const_data_ptr<T>(), buffer, count, s_.taps * s_.in_channels,
                          out_size_, false);
      const T* bias = bias_.defined() ? bias_.const_data_ptr<T>() : nullptr;
      for (int64_t o = 0; o < s_.out_channels; ++o) {
        T* out = outputs.mutable_data_ptr<T>() + o * s_.positions() + first;
        const T shift = bias == nullptr ? T(0) : bias[o];
        for (int64_t i = 0; i < count; ++i) out[i] = buffer[i * out_size_ + o] + shift;
      }
      return;
    }
    for (int64_t g = 0; g < s_.groups; ++g) {
      at::Tensor out = outputs.view({s_.groups, s_.group_out(), -1}).select(0, g);
      out = out.narrow(1, first, count);
      const at::Tensor right = group_columns(columns.narrow(0, 0, count), g).t();
      if (bias_.defined()) {
        const at::Tensor shift = bias_.view({s_.groups, s_.group_out(), 1}).select(0, g);
        at::addmm_out(out, shift, matrix_.select(0, g), right);
      } else {
        at::mm_out(out, matrix_.select(0, g), right);
      }
    }
  }

  /// grad_columns [count, column_size()] of the tile.
  void grad_columns(const at::Tensor& grads, int64_t count, int64_t first,
                    at::Tensor columns) const {
    if (small_) {
      kernels::small_gemm(grads.const_data_ptr<T>() + first, {1, s_.positions()},
                          right_.const_data_ptr<T>(), columns.mutable_data_ptr<T>(), count,
                          s_.out_channels, column_size_, false);
      return;
    }
    for (int64_t g = 0; g < s_.groups; ++g) {
      at::Tensor to = taps_of(columns.narrow(0, 0, count)).select(2, g);
      to.copy_(at::mm(tile_of(grads, g, count, first).t(), matrix_.select(0, g)).view(to.sizes()));
    }
  }

  /// Adds the tile's part to grad_matrix [groups, O/groups, grad_matrix_size()].
  void add_grad_matrix(const at::Tensor& grads, const at::Tensor& columns, int64_t count,
                       int64_t first, at::Tensor grad_matrix) const {
    if (small_) {
      kernels::small_gemm(grads.const_data_ptr<T>() + first, {s_.positions(), 1},
                          columns.const_data_ptr<T>(), grad_matrix.mutable_data_ptr<T>(),
                          s_.out_channels, count, column_size_, true);
      return;
    }
    for (int64_t g = 0; g < s_.groups; ++g) {
      grad_matrix.select(0, g).addmm_(tile_of(grads, g, count, first),
                                      group_columns(columns.narrow(0, 0, count), g));
    }
  }
  int64_t grad_matrix_size() const { return small_ ? column_size_ : s_.taps * s_.group_in(); }

 private:
  // Columns as [count, taps, groups, C/groups].
  at::Tensor taps_of(const at::Tensor& columns) const {
    return columns.narrow(1, 0, s_.taps * s_.in_channels)
        .unflatten(1, {s_.taps, s_.groups, s_.group_in()});
  }
  at::Tensor group_columns(const at::Tensor& columns, int64_t group) const {
    return taps_of(columns).select(2, group).flatten(1);
  }
  at::Tensor tile_of(const at::Tensor& grads, int64_t group, int64_t count, int64_t first) const {
    return grads.view({s_.groups, s_.group_out(), -1}).select(0, group).narrow(1, first, count);
  }

  const ConvSizes& s_;
  at::Tensor matrix_, bias_, right_;
  int64_t column_size_, out_size_;
  bool small_;
};

}  // namespace tessera::ops
