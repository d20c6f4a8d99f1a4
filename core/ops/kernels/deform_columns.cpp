#include "core/ops/kernels/deform_columns.h"

#include "core/ops/kernels/deform_attn_engine.h"
#include "core/ops/kernels/tap.h"

namespace tessera::kernels {
namespace {

constexpr int kCorners = 4;

/// The planes of an image under the taps of a kernel, located for a block of output positions.
template <typename T>
class TapGrid {
 public:
  using Block = PointBlock<T, kCorners, 2>;

  TapGrid(const DeformColumnsSizes& s, const T* offset, const T* mask)
      : s_(s), offset_(offset), mask_(mask), positions_(s.output_height * s.output_width) {}

  /// Output positions from `first` on; those beyond the end are located anywhere.
  TESSERA_KERNEL_INLINE void start(int64_t first) {
    first_ = first;
    alignas(kLaneBytes) T x[kPointBlock<T>], y[kPointBlock<T>];
    for (int i = 0; i < kPointBlock<T>; ++i) {
      x[i] = static_cast<T>((first + i) % s_.output_width * s_.stride_x - s_.padding_x);
      y[i] = static_cast<T>((first + i) / s_.output_width * s_.stride_y - s_.padding_y);
    }
    base_x_ = load_lanes(x);
    base_y_ = load_lanes(y);
  }

  /// Locates a tap at the block's positions. Weights are multiplied by the mask where `masked`.
  TESSERA_KERNEL_INLINE void locate(int64_t group, int64_t tap, Border border, bool masked,
                                    Block& block) const {
    const int64_t dy = tap_offset_index(s_, group, tap, first_);
    const int64_t readable = positions_ - first_;
    Lanes<T> offset_y[1] = {}, offset_x[1] = {};
    load_readable(offset_ + dy, readable, offset_y);
    load_readable(offset_ + dy + positions_, readable, offset_x);
    const auto width = static_cast<Index<T>>(s_.width), height = static_cast<Index<T>>(s_.height);
    const auto tap_x = static_cast<T>(tap % s_.kernel_width * s_.dilation_x);
    const auto tap_y = static_cast<T>(tap / s_.kernel_width * s_.dilation_y);
    const auto x = locate_pixel<T>(base_x_ + tap_x + offset_x[0], width, border);
    const auto y = locate_pixel<T>(base_y_ + tap_y + offset_y[0], height, border);
    const IndexLanes<T> first = y.low * width + x.low;
    const IndexLanes<T> outside = IndexLanes<T>{} + width * height;
    Lanes<T> scale[1] = {Lanes<T>{} + T(1)};
    if (masked && mask_ != nullptr) load_readable(mask_ + mask_index(group, tap), readable, scale);
    for (int c = 0; c < kCorners; ++c) {
      const IndexLanes<T> on_grid =
          (c & 2 ? y.has_high : y.has_low) & (c & 1 ? x.has_high : x.has_low);
      const Index<T> step = (c & 2 ? width : 0) + (c & 1);
      store_lanes(block.row[c], on_grid ? first + step : outside);
      store_lanes(block.weight[c], (c & 2 ? y.fraction : T(1) - y.fraction) *
                                       (c & 1 ? x.fraction : T(1) - x.fraction) * scale[0]);
    }
    block.fraction[0] = x.fraction;
    block.fraction[1] = y.fraction;
  }

  int64_t mask_index(int64_t group, int64_t tap) const {
    return (group * s_.kernel_height * s_.kernel_width + tap) * positions_ + first_;
  }

 private:
  template <typename U>
  static TESSERA_KERNEL_INLINE AxisLanes<U> locate_pixel(const Lanes<U>& pixel, Index<U> size,
                                                         Border border) {
    const IndexLanes<U> above =
        border == Border::kOneSidedGradient ? pixel >= U(-1) : pixel > U(-1);
    return locate_inside<U>(pixel, above & (pixel < static_cast<U>(size)), IndexLanes<U>{} + size);
  }

  const DeformColumnsSizes& s_;
  const T* offset_;
  const T* mask_;
  int64_t positions_;
  int64_t first_ = 0;
  Lanes<T> base_x_, base_y_;
};

/// One row of `channels` numbers: the weighted sum of the corners.
template <int pass, typename T>
TESSERA_KERNEL_INLINE void sample_row(const T* const (&corner)[kCorners],
                                      const T (&weight)[kCorners], int64_t channel,
                                      int64_t channels, T* out) {
  Lanes<T> sum[pass];
  for (int v = 0; v < pass; ++v) {
    const int64_t at = channel + v * kLanes<T>;
    sum[v] = (weight[0] * load_lanes(corner[0] + at) + weight[1] * load_lanes(corner[1] + at)) +
             (weight[2] * load_lanes(corner[2] + at) + weight[3] * load_lanes(corner[3] + at));
  }
  const int64_t left = channels - channel;
  if (left >= pass * kLanes<T>) {
    for (int v = 0; v < pass; ++v) store_lanes(out + channel + v * kLanes<T>, sum[v]);
  } else {
    std::memcpy(out + channel, sum, static_cast<size_t>(left) * sizeof(T));
  }
}

template <typename T>
TESSERA_KERNEL_INLINE void sample(const DeformColumnsSizes& s, const T* packed, const T* offset,
                                  const T* mask, T* columns, int64_t column_size, int64_t begin,
                                  int64_t end) {
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t channels = s.channels / s.offset_groups;
  const int64_t row_size = round_up_to_lanes<T>(channels);
  const int64_t group_size = packed_head_size<T>(s.height * s.width, channels);
  TapGrid<T> grid(s, offset, mask);
  typename TapGrid<T>::Block block;
  for (int64_t first = begin; first < end; first += kPointBlock<T>) {
    const int count = static_cast<int>(std::min<int64_t>(kPointBlock<T>, end - first));
    grid.start(first);
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t g = 0; g < s.offset_groups; ++g) {
        grid.locate(g, tap, Border::kNoGradient, true, block);
        for (int i = 0; i < count; ++i) {
          const T* corner[kCorners];
          T weight[kCorners];
          for (int c = 0; c < kCorners; ++c) {
            corner[c] = packed + g * group_size + block.row[c][i] * row_size;
            weight[c] = block.weight[c][i];
          }
          T* out = columns + (first - begin + i) * column_size + tap * s.channels + g * channels;
          int64_t channel = 0;
          for (; channel + 2 * kLanes<T> <= row_size; channel += 2 * kLanes<T>) {
            sample_row<2>(corner, weight, channel, channels, out);
          }
          if (channel < row_size) sample_row<1>(corner, weight, channel, channels, out);
        }
      }
    }
  }
}

template <typename T>
TESSERA_KERNEL_INLINE void differentiate_offset(const DeformColumnsSizes& s, Border border,
                                                const T* grad_columns, int64_t column_size,
                                                const T* packed, const T* offset, const T* mask,
                                                T* grad_offset, T* grad_mask, int64_t begin,
                                                int64_t end) {
  const int64_t positions = s.output_height * s.output_width;
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t channels = s.channels / s.offset_groups;
  const int64_t row_size = round_up_to_lanes<T>(channels);
  const int64_t group_size = packed_head_size<T>(s.height * s.width, channels);
  AlignedBuffer<T> grad(row_size);
  std::fill_n(grad.data(), row_size, T(0));
  TapGrid<T> grid(s, offset, mask);
  typename TapGrid<T>::Block block;
  alignas(kLaneBytes) T dots[kCorners][kPointBlock<T>] = {};
  for (int64_t first = begin; first < end; first += kPointBlock<T>) {
    const int count = static_cast<int>(std::min<int64_t>(kPointBlock<T>, end - first));
    grid.start(first);
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t g = 0; g < s.offset_groups; ++g) {
        grid.locate(g, tap, border, false, block);
        for (int i = 0; i < count; ++i) {
          std::copy_n(
              grad_columns + (first - begin + i) * column_size + tap * s.channels + g * channels,
              channels, grad.data());
          dot_corners<kCorners>(packed + g * group_size, block.row, i, grad.data(), row_size, dots);
        }
        Lanes<T> d[kCorners], value{};
        for (int c = 0; c < kCorners; ++c) {
          d[c] = load_lanes(dots[c]);
          value += load_lanes(block.weight[c]) * d[c];
        }
        const Lanes<T> x = block.fraction[0], y = block.fraction[1];
        const Lanes<T> slope_x = (T(1) - y) * (d[1] - d[0]) + y * (d[3] - d[2]);
        const Lanes<T> slope_y = (T(1) - x) * (d[2] - d[0]) + x * (d[3] - d[1]);
        const int64_t dy = tap_offset_index(s, g, tap, first);
        const int64_t at_mask = grid.mask_index(g, tap);
        for (int i = 0; i < count; ++i) {
          const T scale = mask == nullptr ? T(1) : mask[at_mask + i];
          grad_offset[dy + i] = scale * slope_y[i];
          grad_offset[dy + positions + i] = scale * slope_x[i];
          if (mask != nullptr) grad_mask[at_mask + i] = value[i];
        }
      }
    }
  }
}

template <typename T>
TESSERA_KERNEL_INLINE void differentiate_image(const DeformColumnsSizes& s, const T* grad_columns,
                                               int64_t column_size, const T* offset, const T* mask,
                                               T* grad_packed, int64_t begin, int64_t end) {
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t channels = s.channels / s.offset_groups;
  const int64_t row_size = round_up_to_lanes<T>(channels);
  const int64_t group_size = packed_head_size<T>(s.height * s.width, channels);
  AlignedBuffer<T> grad(row_size);
  std::fill_n(grad.data(), row_size, T(0));
  TapGrid<T> grid(s, offset, mask);
  typename TapGrid<T>::Block block;
  for (int64_t first = begin; first < end; first += kPointBlock<T>) {
    const int count = static_cast<int>(std::min<int64_t>(kPointBlock<T>, end - first));
    grid.start(first);
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t g = 0; g < s.offset_groups; ++g) {
        grid.locate(g, tap, Border::kNoGradient, true, block);
        for (int i = 0; i < count; ++i) {
          std::copy_n(
              grad_columns + (first - begin + i) * column_size + tap * s.channels + g * channels,
              channels, grad.data());
          for (int c = 0; c < kCorners; ++c) {
            T* row = grad_packed + g * group_size + block.row[c][i] * row_size;
            for (int64_t d = 0; d < row_size; d += kLanes<T>) {
              store_lanes(row + d,
                          load_lanes(row + d) + block.weight[c][i] * load_lanes(grad.data() + d));
            }
          }
        }
      }
    }
  }
}

/// Calls `move(channel of the image, element of packed, row)` in an order that is kind to caches.
template <typename T, typename Move>
void for_each_element(const DeformColumnsSizes& s, bool channels_last, const Move& move) {
  const int64_t rows = s.height * s.width;
  const int64_t channels = s.channels / s.offset_groups;
  const int64_t row_size = round_up_to_lanes<T>(channels);
  constexpr int64_t kRowBlock = 64;
  for (int64_t g = 0; g < s.offset_groups; ++g) {
    const int64_t group = g * packed_head_size<T>(rows, channels);
    for (int64_t first = 0; first < rows; first += kRowBlock) {
      const int64_t last = std::min(rows, first + kRowBlock);
      if (channels_last) {
        for (int64_t row = first; row < last; ++row) {
          for (int64_t c = 0; c < channels; ++c) {
            move(g * channels + c, group + row * row_size + c, row);
          }
        }
      } else {
        for (int64_t c = 0; c < channels; ++c) {
          for (int64_t row = first; row < last; ++row) {
            move(g * channels + c, group + row * row_size + c, row);
          }
        }
      }
    }
  }
}

}  // namespace

template <typename T>
void pack_image(const DeformColumnsSizes& s, const T* image, ImageStrides strides, T* packed) {
  if (s.channels % (s.offset_groups * kLanes<T>) != 0) {
    std::fill_n(packed, packed_image_size<T>(s), T(0));  // the channels that fill up the lanes
  }
  const int64_t channels = s.channels / s.offset_groups;
  const int64_t group_size = packed_head_size<T>(s.height * s.width, channels);
  for (int64_t g = 0; g < s.offset_groups; ++g) {
    const int64_t row_size = round_up_to_lanes<T>(channels);
    std::fill_n(packed + (g + 1) * group_size - row_size, row_size, T(0));
  }
  for_each_element<T>(s, strides.channel == 1, [&](int64_t channel, int64_t element, int64_t row) {
    packed[element] = image[channel * strides.channel + row * strides.row];
  });
}

template <typename T>
void unpack_image(const DeformColumnsSizes& s, const T* packed, T* image, ImageStrides strides) {
  for_each_element<T>(s, strides.channel == 1, [&](int64_t channel, int64_t element, int64_t row) {
    image[channel * strides.channel + row * strides.row] = packed[element];
  });
}

#define TESSERA_DEFORM_COLUMNS_KERNELS(T)                                                          \
  template void pack_image(const DeformColumnsSizes&, const T*, ImageStrides, T*);                 \
  template void unpack_image(const DeformColumnsSizes&, const T*, T*, ImageStrides);               \
  TESSERA_SIMD_CLONES                                                                              \
  void deform_columns_forward(const DeformColumnsSizes& sizes, const T* packed, const T* offset,   \
                              const T* mask, T* columns, int64_t column_size, int64_t begin,       \
                              int64_t end) {                                                       \
    sample(sizes, packed, offset, mask, columns, column_size, begin, end);                         \
  }                                                                                                \
  TESSERA_SIMD_CLONES                                                                              \
  void deform_columns_backward_offset(const DeformColumnsSizes& sizes, Border border,              \
                                      const T* grad_columns, int64_t column_size, const T* packed, \
                                      const T* offset, const T* mask, T* grad_offset,              \
                                      T* grad_mask, int64_t begin, int64_t end) {                  \
    differentiate_offset(sizes, border, grad_columns, column_size, packed, offset, mask,           \
                         grad_offset, grad_mask, begin, end);                                      \
  }                                                                                                \
  TESSERA_SIMD_CLONES                                                                              \
  void deform_columns_backward_image(const DeformColumnsSizes& sizes, const T* grad_columns,       \
                                     int64_t column_size, const T* offset, const T* mask,          \
                                     T* grad_packed, int64_t begin, int64_t end) {                 \
    differentiate_image(sizes, grad_columns, column_size, offset, mask, grad_packed, begin, end);  \
  }

TESSERA_DEFORM_COLUMNS_KERNELS(float)
TESSERA_DEFORM_COLUMNS_KERNELS(double)

}  // namespace tessera::kernels
