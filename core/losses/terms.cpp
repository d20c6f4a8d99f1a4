#include "core/losses/terms.h"

#include <ATen/ATen.h>

namespace tessera::losses {

MatchedFrames matched_frames(const ClipMatch& match) {
  const auto where = match.valid.nonzero();  // [n,2] (pair, frame)
  const at::Tensor pair = where.select(1, 0), frame = where.select(1, 1);
  return {match.prediction.index_select(0, pair), match.target.index_select(0, pair), frame};
}

}  // namespace tessera::losses
