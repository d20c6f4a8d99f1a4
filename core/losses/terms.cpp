#include "core/losses/terms.h"

#include <ATen/ATen.h>

namespace tessera::losses {

MatchedFrames matched_frames(const ClipMatch& match) {
  const auto where = match.valid.nonzero();  // [n,2] (pair, frame)
  const at::Tensor pair = where.select(1, 0), frame = where.select(1, 1);
  return {match.prediction.index_select(0, pair), match.target.index_select(0, pair), frame};
}

}  // namespace tessera::losses

namespace tessera {

const MatchedMasks& LossInput::matched_masks() const {
  if (masks_) return *masks_;
  if (!prediction.masks)
    throw RuntimeError("loss: expected a mask source in the prediction of layer " +
                       std::to_string(layer) + ", got none.");
  std::vector<at::Tensor> logits, target, valid;
  for (size_t clip = 0; clip < targets.size(); ++clip) {
    const ClipMatch& match = matches[clip];
    if (match.prediction.size(0) == 0) continue;
    const at::Tensor rows =
        prediction.masks->logits(static_cast<int64_t>(clip), match.prediction);  // [R,T,h,w]
    const at::Tensor goal = targets[clip].masks.index_select(0, match.target);   // [R,T,H,W]
    logits.push_back(at::upsample_bilinear2d(rows, {goal.size(2), goal.size(3)},
                                             /*align_corners=*/false));
    target.push_back(goal.to(rows.dtype()));
    valid.push_back(match.valid);
  }
  masks_.emplace();
  if (logits.empty()) return *masks_;
  masks_->track_logits = at::cat(logits);
  masks_->track_target = at::cat(target);
  masks_->valid = at::cat(valid);
  const at::Tensor where = masks_->valid.nonzero();
  const at::Tensor pair = where.select(1, 0), frame = where.select(1, 1);
  masks_->logits = masks_->track_logits.index({pair, frame});
  masks_->target = masks_->track_target.index({pair, frame});
  return *masks_;
}

}  // namespace tessera
