#include "core/ops/kernels/dropout.h"

namespace tessera::kernels {

TESSERA_SIMD_CLONES
void dropout_factors(const DropoutPattern& pattern, int64_t begin, int64_t end, float* factors) {
  draw_dropout_factors(pattern, begin, end, factors);
}

TESSERA_SIMD_CLONES
void dropout_factors(const DropoutPattern& pattern, int64_t begin, int64_t end, double* factors) {
  draw_dropout_factors(pattern, begin, end, factors);
}

}  // namespace tessera::kernels
