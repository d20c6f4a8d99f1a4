#pragma once
// Dense attention whose weights are dropped at random, for training on a CPU: the weights of a few
// queries at a time, in a core's cache, computed anew for the gradients (Dao et al. 2022 for the
// idea). Plain products of whole matrices would keep three numbers for every pair of tokens.

#include <cstdint>

#include "core/ops/kernels/dropout.h"

namespace tessera::kernels {

struct DroppedAttentionSizes {
  int64_t heads, queries, keys;     // heads of all clips
  int64_t packed_dim, packed_keys;  // filled up to whole lanes
};

/// What is added to scores, 0 or -infinity: rows of packed_keys numbers, the last
/// packed_keys - keys of them -infinity. `heads` heads share a block of rows; row_stride is 0 where
/// a block has one row for all queries.
template <typename T>
struct ScoreBias {
  const T* rows;
  int64_t heads, block_stride, row_stride;

  const T* row(int64_t head, int64_t query) const {
    return rows + head / heads * block_stride + query * row_stride;
  }
};

/// Dense and row major, filled up with zeros: query [heads, queries, packed_dim]; key_rows and
/// value_rows [heads, keys, packed_dim], and the same transposed, key_columns and value_columns
/// [heads, packed_dim, packed_keys].
template <typename T>
struct DroppedAttentionInput {
  const T* query;
  const T *key_rows, *key_columns;
  const T *value_rows, *value_columns;
  ScoreBias<T> bias;
  T scale;
};

/// Queries whose weights a core's cache holds: what one call should be asked for.
template <typename T>
int64_t queries_per_task(const DroppedAttentionSizes& sizes) {
  constexpr int64_t kCacheBytes = 384 * 1024, kLeast = 6, kMost = 96;
  const int64_t fit = kCacheBytes / static_cast<int64_t>(sizeof(T)) / sizes.packed_keys;
  return std::clamp<int64_t>(fit / kLeast * kLeast, kLeast, kMost);
}

/// output[i] = sum over j of dropped(softmax(scale * query[i] . key[j] + bias[j])) * value[j] of
/// queries `begin` to `end` of a head; a query that attends nowhere gets zeros. log_sums
/// [heads, queries] is for the backward pass. `scores`: memory for (end - begin) * packed_keys
/// numbers. For float and double.
template <typename T>
void dropped_attention_forward(const DroppedAttentionSizes& sizes, const DropoutPattern& drop,
                               const DroppedAttentionInput<T>& input, T* output, T* log_sums,
                               T* scores, int64_t head, int64_t begin, int64_t end);

/// Gradients from that of the output, all laid out as what they belong to. Sets those of the
/// queries `begin` to `end`; adds to grad_key and grad_value [keys, packed_dim], those of this
/// head. `scores`: memory for (2 * (end - begin) + 1) * packed_keys numbers.
template <typename T>
void dropped_attention_backward(const DroppedAttentionSizes& sizes, const DropoutPattern& drop,
                                const DroppedAttentionInput<T>& input, const T* grad_output,
                                const T* log_sums, T* grad_query, T* grad_key, T* grad_value,
                                T* scores, int64_t head, int64_t begin, int64_t end);

}  // namespace tessera::kernels
