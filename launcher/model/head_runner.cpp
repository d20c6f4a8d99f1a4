#include "launcher/model/head_runner.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/nn/precision.h"
#include "core/structures/pieces.h"
#include "launcher/model/autocast.h"
#include "launcher/model/part_scope.h"
#include "launcher/model/recomputed_masks.h"
#include "launcher/model/recorded_masks.h"

namespace tessera {
namespace {

std::vector<at::Tensor> members_of(InstanceLayer layer) {
  std::vector<at::Tensor> members;
  for_each_tensor(
      layer, [&](const at::Tensor& tensor, Leading /*leading*/) { members.push_back(tensor); });
  return members;
}

bool are_same_tensors(const InstanceLayer& a, const InstanceLayer& b) {
  const auto of_a = members_of(a), of_b = members_of(b);
  for (size_t i = 0; i < of_a.size(); ++i)
    if (!of_a[i].is_same(of_b[i])) return false;
  return true;
}

}  // namespace

HeadRunner::HeadRunner(const StageHeads& heads, const FeaturePyramid& pyramid, const Memory& memory,
                       std::shared_ptr<const ForwardContext> context)
    : heads_(heads),
      context_(std::move(context)),
      num_frames_(pyramid.levels.front().features.size(1)),
      piece_frames_(heads.queries.piece_frames > 0
                        ? std::min(heads.queries.piece_frames, num_frames_)
                        : num_frames_),
      pyramid_(piece_frames_ == num_frames_ ? pyramid : in_pieces(pyramid, piece_frames_)),
      memory_(piece_frames_ == num_frames_ ? memory : in_pieces(memory, piece_frames_)) {
  if (heads.queries.pixel_channels == 0 && heads.predicts_masks) prepare(memory_);
}

void HeadRunner::prepare(const Memory& memory) {
  const PartScope part(scope("mask_head"));
  prepared_ = heads_.recompute_masks && at::GradMode::is_enabled()
                  ? recomputed(heads_.mask_head, pyramid_, memory, *context_, heads_.mask_rows)
                  : heads_.mask_head->prepare(pyramid_, memory, *context_);
}

const PreparedMasks& HeadRunner::prepared_for(const InstanceLayer& asked,
                                              const InstanceLayer& seen) {
  if (asked.pixel_features.defined() && !asked.pixel_features.is_same(prepared_features_)) {
    Memory changed = memory_;
    changed.pixel_features = seen.pixel_features;
    prepare(changed);
    prepared_features_ = asked.pixel_features;
  }
  return *prepared_;
}

void HeadRunner::expect_stated_members(const InstanceLayer& embeddings) const {
  const bool is_stated = heads_.queries.pixel_channels > 0;
  if (embeddings.pixel_features.defined() == is_stated) return;
  throw PluginError("decoder '" + heads_.decoder + "': expected pixel_features in " +
                    (is_stated ? "every layer, because its spec() states pixel_channels, got a "
                                 "layer without them."
                               : "no layer, because its spec() states no pixel_channels, got a "
                                 "layer with them."));
}

HeadRunner::Kept& HeadRunner::kept(int64_t layer, const InstanceLayer& embeddings) {
  const auto [place, is_new] = kept_.try_emplace(layer);
  Kept& kept = place->second;
  if (is_new) {
    expect_stated_members(embeddings);
    kept.asked = embeddings;
    kept.seen = piece_frames_ == num_frames_ ? embeddings
                                             : in_pieces(embeddings, piece_frames_, num_frames_);
  } else if (!are_same_tensors(kept.asked, embeddings)) {
    throw PluginError("decoder '" + heads_.decoder + "': expected the same embeddings in every " +
                      "prediction of layer " + std::to_string(layer) +
                      ", got others. The prediction of a layer is kept for the losses: predict "
                      "each layer once, with the embeddings of the whole clip.");
  }
  return kept;
}

LayerPrediction HeadRunner::predict(int64_t layer, const InstanceLayer& embeddings,
                                    PredictionWant want) {
  if (want.masks && !heads_.predicts_masks)
    throw PluginError("decoder '" + heads_.decoder +
                      "': expected no request for masks from a decoder that sees the whole video, "
                      "got one. Masks are made of some frames at a time, after the decoder.");
  Kept& known = kept(layer, embeddings);
  LayerPrediction& prediction = known.prediction;
  // Copies of the clip share the heads of their layers.
  const int64_t num_layers = heads_.queries.num_layers;
  const int64_t head = num_layers > 0 ? layer % num_layers : layer;
  const bool needs_boxes = want.boxes || (want.masks && heads_.mask_head->wants_boxes());
  const bool needs_identity = want.identity && heads_.instance_head->gives_identity();
  const PredictionWant missing{want.classes && !prediction.classes.logits.defined(),
                               needs_boxes && !prediction.boxes.defined(),
                               want.masks && !prediction.masks,
                               needs_identity && !prediction.identity.defined()};
  if (missing.classes || missing.boxes || missing.identity) {
    const PartScope part(scope("instance_head"));
    LayerPrediction fresh =
        heads_.instance_head->forward(head, known.seen, piece_frames_, missing, *context_);
    if (missing.classes) {
      prediction.classes = std::move(fresh.classes);
      prediction.classes.logits = to_full_precision(prediction.classes.logits);
    }
    if (missing.boxes) prediction.boxes = to_full_precision(fresh.boxes);
    if (missing.identity) prediction.identity = to_full_precision(fresh.identity);
  }
  if (missing.masks) {
    const PreparedMasks& prepared = prepared_for(known.asked, known.seen);
    const PartScope part(scope("mask_head"));
    prediction.masks =
        recorded(in_full_precision(prepared.masks(head, known.seen, prediction.boxes),
                                   context_->autocast, pyramid_.levels.front().features.device()),
                 scope("mask_head"), context_);
  }
  return prediction;
}

}  // namespace tessera
