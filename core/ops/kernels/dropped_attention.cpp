#include "core/ops/kernels/dropped_attention.h"

#include <limits>

#include "core/ops/kernels/exponential.h"
#include "core/ops/kernels/small_gemm.h"

namespace tessera::kernels {
namespace {

constexpr int64_t kKeysAtOnce = 512;  // whose rows of keys or values a core's cache holds

template <typename T>
TESSERA_KERNEL_INLINE T largest_lane(const Lanes<T>& lanes) {
  T largest = lanes[0];
  for (int64_t i = 1; i < kLanes<T>; ++i) largest = lanes[i] > largest ? lanes[i] : largest;
  return largest;
}

template <typename T>
TESSERA_KERNEL_INLINE T sum_of_lanes(const Lanes<T>& lanes) {
  const auto quarter = fold_to_quarter<T>(lanes);
  T sum = 0;
  for (int64_t i = 0; i < kLanes<T> / 4; ++i) sum += quarter[i];
  return sum;
}

/// A row of a head's pairs among the places of its dropout.
TESSERA_KERNEL_INLINE int64_t first_place(const DroppedAttentionSizes& sizes, int64_t head,
                                          int64_t query) {
  return (head * sizes.queries + query) * sizes.packed_keys;
}

/// From products to weights, dropped and scaled, in place. Gives log(sum(exp(score))), or infinity
/// where every key is blocked, and all weights are zero.
template <typename T>
TESSERA_KERNEL_INLINE T dropped_softmax(const DropoutPattern& drop, int64_t place, T scale,
                                        const T* bias, T* row, int64_t size) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  Lanes<T> largest = Lanes<T>{} - kInfinity;
  for (int64_t i = 0; i < size; i += kLanes<T>) {
    const Lanes<T> score = load_lanes(row + i) * scale + load_lanes(bias + i);
    store_lanes(row + i, score);
    largest = score > largest ? score : largest;
  }
  const T top = largest_lane<T>(largest);
  if (top == -kInfinity) {
    std::fill_n(row, size, T(0));
    return kInfinity;
  }
  Lanes<T> sums{};
  for (int64_t i = 0; i < size; i += kLanes<T>) {
    const Lanes<T> weight = exponential(load_lanes(row + i) - top);
    store_lanes(row + i, weight);
    sums += weight;
  }
  const T sum = sum_of_lanes<T>(sums), normed = T(1) / sum;
  constexpr int64_t kBlock = 256;
  for (int64_t first = 0; first < size; first += kBlock) {
    const int64_t count = std::min(kBlock, size - first);
    T factors[kBlock];
    draw_dropout_factors(drop, place + first, place + first + count, factors);
    for (int64_t i = 0; i < count; i += kLanes<T>)
      store_lanes(row + first + i, load_lanes(row + first + i) * normed * load_lanes(factors + i));
  }
  return top + std::log(sum);
}

/// From products (`scores`) and gradients of the dropped weights (`gradients`) to dropped weights
/// and gradients of the products, in place.
template <typename T>
TESSERA_KERNEL_INLINE void dropped_softmax_backward(const DropoutPattern& drop, int64_t place,
                                                    T scale, const T* bias, T log_sum, T* scores,
                                                    T* gradients, T* factors, int64_t size) {
  draw_dropout_factors(drop, place, place + size, factors);
  Lanes<T> dots{};
  for (int64_t i = 0; i < size; i += kLanes<T>) {
    const Lanes<T> weight =
        exponential(load_lanes(scores + i) * scale + load_lanes(bias + i) - log_sum);
    const Lanes<T> gradient = load_lanes(gradients + i) * load_lanes(factors + i);
    store_lanes(scores + i, weight);
    store_lanes(gradients + i, gradient);
    dots += weight * gradient;
  }
  const T dot = sum_of_lanes<T>(dots);
  for (int64_t i = 0; i < size; i += kLanes<T>) {
    const Lanes<T> weight = load_lanes(scores + i);
    store_lanes(gradients + i, weight * (load_lanes(gradients + i) - dot) * scale);
    store_lanes(scores + i, weight * load_lanes(factors + i));
  }
}

#define TESSERA_SOFTMAX_ROWS(T)                                                                    \
  TESSERA_SIMD_CLONES                                                                              \
  void softmax_rows(const DroppedAttentionSizes& s, const DropoutPattern& drop,                    \
                    const DroppedAttentionInput<T>& input, T* log_sums, T* scores, int64_t head,   \
                    int64_t begin, int64_t end) {                                                  \
    for (int64_t query = begin; query < end; ++query, scores += s.packed_keys)                     \
      log_sums[head * s.queries + query] =                                                         \
          dropped_softmax<T>(drop, first_place(s, head, query), input.scale,                       \
                             input.bias.row(head, query), scores, s.packed_keys);                  \
  }                                                                                                \
  TESSERA_SIMD_CLONES                                                                              \
  void softmax_rows_backward(const DroppedAttentionSizes& s, const DropoutPattern& drop,           \
                             const DroppedAttentionInput<T>& input, const T* log_sums, T* scores,  \
                             T* gradients, T* factors, int64_t head, int64_t begin, int64_t end) { \
    for (int64_t query = begin; query < end;                                                       \
         ++query, scores += s.packed_keys, gradients += s.packed_keys)                             \
      dropped_softmax_backward<T>(drop, first_place(s, head, query), input.scale,                  \
                                  input.bias.row(head, query), log_sums[head * s.queries + query], \
                                  scores, gradients, factors, s.packed_keys);                      \
  }

// Compiled for each instruction set: templates cannot be.
TESSERA_SOFTMAX_ROWS(float)
TESSERA_SOFTMAX_ROWS(double)

}  // namespace

template <typename T>
void dropped_attention_forward(const DroppedAttentionSizes& s, const DropoutPattern& drop,
                               const DroppedAttentionInput<T>& input, T* output, T* log_sums,
                               T* scores, int64_t head, int64_t begin, int64_t end) {
  const int64_t count = end - begin, first = (head * s.queries + begin) * s.packed_dim;
  small_gemm(input.query + first, {s.packed_dim, 1},
             input.key_columns + head * s.packed_dim * s.packed_keys, scores, count, s.packed_dim,
             s.packed_keys, false);
  softmax_rows(s, drop, input, log_sums, scores, head, begin, end);
  if (s.keys == 0) std::fill_n(output + first, count * s.packed_dim, T(0));
  for (int64_t key = 0; key < s.keys; key += kKeysAtOnce)
    small_gemm(scores + key, {s.packed_keys, 1},
               input.value_rows + (head * s.keys + key) * s.packed_dim, output + first, count,
               std::min(kKeysAtOnce, s.keys - key), s.packed_dim, key > 0);
}

template <typename T>
void dropped_attention_backward(const DroppedAttentionSizes& s, const DropoutPattern& drop,
                                const DroppedAttentionInput<T>& input, const T* grad_output,
                                const T* log_sums, T* grad_query, T* grad_key, T* grad_value,
                                T* scores, int64_t head, int64_t begin, int64_t end) {
  const int64_t count = end - begin, first = (head * s.queries + begin) * s.packed_dim,
                head_columns = head * s.packed_dim * s.packed_keys;
  T* gradients = scores + count * s.packed_keys;
  T* factors = gradients + count * s.packed_keys;
  small_gemm(input.query + first, {s.packed_dim, 1}, input.key_columns + head_columns, scores,
             count, s.packed_dim, s.packed_keys, false);
  small_gemm(grad_output + first, {s.packed_dim, 1}, input.value_columns + head_columns, gradients,
             count, s.packed_dim, s.packed_keys, false);
  softmax_rows_backward(s, drop, input, log_sums, scores, gradients, factors, head, begin, end);
  if (s.keys == 0) std::fill_n(grad_query + first, count * s.packed_dim, T(0));
  for (int64_t key = 0; key < s.keys; key += kKeysAtOnce) {
    const int64_t keys = std::min(kKeysAtOnce, s.keys - key), row = key * s.packed_dim;
    small_gemm(gradients + key, {s.packed_keys, 1},
               input.key_rows + head * s.keys * s.packed_dim + row, grad_query + first, count, keys,
               s.packed_dim, key > 0);
    small_gemm(gradients + key, {1, s.packed_keys}, input.query + first, grad_key + row, keys,
               count, s.packed_dim, true);
    small_gemm(scores + key, {1, s.packed_keys}, grad_output + first, grad_value + row, keys, count,
               s.packed_dim, true);
  }
}

#define TESSERA_INSTANTIATE(T)                                                                     \
  template void dropped_attention_forward<T>(const DroppedAttentionSizes&, const DropoutPattern&,  \
                                             const DroppedAttentionInput<T>&, T*, T*, T*, int64_t, \
                                             int64_t, int64_t);                                    \
  template void dropped_attention_backward<T>(const DroppedAttentionSizes&, const DropoutPattern&, \
                                              const DroppedAttentionInput<T>&, const T*, const T*, \
                                              T*, T*, T*, T*, int64_t, int64_t, int64_t);

TESSERA_INSTANTIATE(float)
TESSERA_INSTANTIATE(double)

}  // namespace tessera::kernels
