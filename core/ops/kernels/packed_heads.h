#pragma once
// Values laid out for sampling: [batch, heads, rows + 1, packed_dim]. The rows of one head lie side
// by side and fill whole lanes and cache lines; the last row is zero and stands for everything
// outside.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>

#include "core/ops/kernels/lanes.h"

namespace tessera::kernels {

/// Uninitialised memory that begins at a cache line.
template <typename T>
class AlignedBuffer {
 public:
  explicit AlignedBuffer(int64_t count)
      : data_(static_cast<T*>(::operator new(static_cast<size_t>(count) * sizeof(T), kAlignment))) {
  }
  T* data() { return data_.get(); }

 private:
  static constexpr std::align_val_t kAlignment{kLaneBytes};
  struct Free {
    void operator()(T* data) const { ::operator delete(data, kAlignment); }
  };
  std::unique_ptr<T, Free> data_;
};

/// Elements of one packed head.
template <typename T>
int64_t packed_head_size(int64_t rows, int64_t dim) {
  return (rows + 1) * round_up_to_lanes<T>(dim);
}

/// Packs heads `begin` to `end` (counted over batch and heads) of value [batch, rows, heads, dim],
/// the first of them at `packed`.
template <typename T>
void pack_heads(const T* value, T* packed, int64_t rows, int64_t heads, int64_t dim, int64_t begin,
                int64_t end) {
  const int64_t packed_dim = round_up_to_lanes<T>(dim);
  for (int64_t head = begin; head < end; ++head) {
    const T* from = value + (head / heads * rows * heads + head % heads) * dim;
    T* to = packed + (head - begin) * packed_head_size<T>(rows, dim);
    for (int64_t row = 0; row < rows; ++row, from += heads * dim, to += packed_dim) {
      std::copy_n(from, dim, to);
      std::fill_n(to + dim, packed_dim - dim, T(0));
    }
    std::fill_n(to, packed_dim, T(0));
  }
}

}  // namespace tessera::kernels
