// The masks that loss terms compare: of matched pairs, whole or at sampled points.

#include <ATen/ATen.h>

#include <algorithm>
#include <tuple>

#include "core/error.h"
#include "core/interfaces/loss.h"
#include "core/nn/points.h"

namespace tessera {
namespace {

/// Joins the clips' pairs and picks the trained ones.
MatchedMasks joined(const std::vector<at::Tensor>& logits, const std::vector<at::Tensor>& target,
                    const std::vector<at::Tensor>& valid) {
  MatchedMasks masks;
  if (logits.empty()) return masks;
  masks.track_logits = at::cat(logits);
  masks.track_target = at::cat(target);
  masks.valid = at::cat(valid);
  const at::Tensor where = masks.valid.nonzero();
  const at::Tensor pair = where.select(1, 0), frame = where.select(1, 1);
  masks.logits = masks.track_logits.index({pair, frame});
  masks.target = masks.track_target.index({pair, frame});
  return masks;
}

}  // namespace

const MatchedMasks& LossInput::matched_masks(const std::optional<PointSampling>& points) const {
  const auto found = masks_.find(points);
  if (found != masks_.end()) return found->second;
  expect_masks();
  const at::AutoGradMode gradients(with_gradients_);
  return masks_.emplace(points, points ? masks_at_points(*points) : masks_of_size(std::nullopt))
      .first->second;
}

const MatchedMasks& LossInput::matched_cells(int64_t stride) const {
  const auto found = cells_.find(stride);
  if (found != cells_.end()) return found->second;
  expect_masks();
  const at::AutoGradMode gradients(with_gradients_);
  return cells_.emplace(stride, masks_on_cells(stride)).first->second;
}

const MatchedMasks& LossInput::resized_masks(int64_t stride) const {
  const auto found = resized_.find(stride);
  if (found != resized_.end()) return found->second;
  expect_masks();
  const at::AutoGradMode gradients(with_gradients_);
  return resized_.emplace(stride, masks_of_size(stride)).first->second;
}

void LossInput::expect_masks() const {
  if (!prediction.masks)
    throw RuntimeError("loss: expected a mask source in the prediction of layer " +
                       std::to_string(layer) + ", got none.");
}

MatchedMasks LossInput::masks_on_cells(int64_t stride) const {
  std::vector<at::Tensor> logits, target, valid;
  for (size_t clip = 0; clip < targets.size(); ++clip) {
    const ClipMatch& match = matches[clip];
    if (match.prediction.size(0) == 0) continue;
    const at::Tensor rows =
        prediction.masks->logits(static_cast<int64_t>(clip), match.prediction);  // [R,T,h,w]
    at::Tensor goal = targets[clip].masks.index_select(0, match.target);         // [R,T,H,W]
    goal =
        goal.slice(2, stride / 2, std::nullopt, stride).slice(3, stride / 2, std::nullopt, stride);
    const int64_t down = rows.size(2) - goal.size(2), right = rows.size(3) - goal.size(3);
    if (down < 0 || right < 0)
      throw ConfigError("loss: stride: expected that of the mask head, got " +
                        std::to_string(stride) + ", with which frames have " +
                        std::to_string(goal.size(2)) + " x " + std::to_string(goal.size(3)) +
                        " cells and the head's masks " + std::to_string(rows.size(2)) + " x " +
                        std::to_string(rows.size(3)) + ".");
    logits.push_back(rows);
    target.push_back(at::constant_pad_nd(goal.to(rows.dtype()), {0, right, 0, down}));
    valid.push_back(match.valid);
  }
  return joined(logits, target, valid);
}

MatchedMasks LossInput::masks_of_size(std::optional<int64_t> stride) const {
  std::vector<at::Tensor> logits, target, valid;
  for (size_t clip = 0; clip < targets.size(); ++clip) {
    const ClipMatch& match = matches[clip];
    if (match.prediction.size(0) == 0) continue;
    const at::Tensor rows =
        prediction.masks->logits(static_cast<int64_t>(clip), match.prediction);  // [R,T,h,w]
    at::Tensor goal =
        targets[clip].masks.index_select(0, match.target).to(rows.dtype());  // [R,T,H,W]
    if (stride) goal = shrunk_masks(goal, *stride);
    logits.push_back(at::upsample_bilinear2d(rows, {goal.size(2), goal.size(3)},
                                             /*align_corners=*/false));
    target.push_back(goal);
    valid.push_back(match.valid);
  }
  return joined(logits, target, valid);
}

at::Tensor LossInput::points_of_pairs(const std::string& use, int64_t num_points) const {
  const at::Tensor& like = prediction.classes.logits;
  const bool has_keys = std::all_of(targets.begin(), targets.end(), [](const ClipTargets& target) {
    return target.random_key != 0;
  });
  if (context.points || !has_keys) {
    int64_t rows = 0;
    for (const ClipMatch& match : matches) rows += match.valid.numel();
    return uniform_points(context, use, rows, num_points, like);
  }
  std::vector<at::Tensor> points;
  for (size_t clip = 0; clip < targets.size(); ++clip)
    points.push_back(uniform_points(context, use, matches[clip].valid.numel(), num_points, like,
                                    targets[clip].random_key));
  return at::cat(points);
}

MatchedMasks LossInput::masks_at_points(const PointSampling& sampling) const {
  int64_t pairs_of_all = 0, frames = 0;
  for (const ClipMatch& match : matches) {
    pairs_of_all += match.valid.size(0);
    frames = match.valid.size(1);
  }
  if (pairs_of_all == 0) return {};
  const std::string use = "loss." + std::to_string(layer);
  const int64_t uncertain = sampling.num_uncertain(),
                random = sampling.num_points - sampling.num_uncertain();
  at::Tensor candidates, fresh;
  if (uncertain > 0) candidates = points_of_pairs(use + ".candidates", sampling.num_candidates());
  if (random > 0) fresh = points_of_pairs(use + ".random", random);

  std::vector<at::Tensor> logits, target, valid;
  int64_t first = 0;
  for (size_t clip = 0; clip < targets.size(); ++clip) {
    const ClipMatch& match = matches[clip];
    const int64_t pairs = match.prediction.size(0);
    if (pairs == 0) continue;
    const auto index = static_cast<int64_t>(clip);
    auto of_clip = [&](const at::Tensor& points) {  // [rows,n,2] -> [R,T,n,2]
      return points.narrow(0, first, pairs * frames).unflatten(0, {pairs, frames});
    };
    std::vector<at::Tensor> chosen;
    if (uncertain > 0) {
      at::NoGradGuard no_grad;
      const at::Tensor offered = of_clip(candidates);
      const at::Tensor certainty =
          prediction.masks->logits_at(index, match.prediction, offered).abs();  // [R,T,n]
      const at::Tensor least =
          std::get<1>(certainty.topk(uncertain, -1, /*largest=*/false, /*sorted=*/false));
      chosen.push_back(offered.gather(2, least.unsqueeze(-1).expand({-1, -1, -1, 2})));
    }
    if (random > 0) chosen.push_back(of_clip(fresh));
    const at::Tensor points = at::cat(chosen, 2);  // [R,T,P,2]
    first += pairs * frames;

    const at::Tensor said = prediction.masks->logits_at(index, match.prediction, points);
    const at::Tensor goal = targets[clip].masks.index_select(0, match.target);  // [R,T,H,W]
    logits.push_back(said);
    target.push_back(
        sample_at(goal.flatten(0, 1).unsqueeze(1).to(said.dtype()), points.flatten(0, 1))
            .view(said.sizes()));
    valid.push_back(match.valid);
  }
  return joined(logits, target, valid);
}

}  // namespace tessera
