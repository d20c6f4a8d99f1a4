#pragma once
// A clip of T frames as T / n pieces of n frames: B clips become B * T / n, those of a clip one
// after the other. All are views where their tensors allow it. For stages whose queries belong to
// some frames of a clip (QuerySpec::piece_frames).

#include <cstdint>

#include "core/export.h"
#include "core/structures/clip.h"
#include "core/structures/features.h"
#include "core/structures/predictions.h"

namespace tessera {

/// Throws RuntimeError unless n divides T. in: tensors as their structures say. out: the same
/// structures over pieces.
TESSERA_API FeaturePyramid in_pieces(FeaturePyramid pyramid, int64_t n);
TESSERA_API Memory in_pieces(Memory memory, int64_t n);
/// Per-frame members are cut; `clip` [B,Q,D] is repeated for each piece. T is `num_frames`, or, if
/// that is 0, the per-frame members' (RuntimeError where a layer has none).
TESSERA_API InstanceLayer in_pieces(InstanceLayer layer, int64_t n, int64_t num_frames = 0);
TESSERA_API InstanceEmbeddings in_pieces(InstanceEmbeddings embeddings, int64_t n,
                                         int64_t num_frames = 0);
/// One entry for each piece, with ClipTargets::{clip, piece, instance} set. Instances that are in
/// none of a piece's frames are left out unless `keep_absent`. Points of the pieces of a clip are
/// drawn independently (ClipTargets::random_key).
TESSERA_API Targets in_pieces(const Targets& targets, int64_t n, bool keep_absent);

/// The inverse for what a decoder gave for pieces of one frame each: `clip` [B*T,Q,D] of each piece
/// becomes `frame` [B,T,Q,D]. Throws RuntimeError where a layer has both: a clip of several frames
/// has one embedding for each query and frame.
TESSERA_API InstanceEmbeddings frames_joined(InstanceEmbeddings embeddings, int64_t num_frames);
/// The inverse for a memory over pieces of one frame each.
TESSERA_API Memory frames_joined(Memory memory, int64_t num_frames);

/// Predictions over pieces as predictions over clips of `pieces` pieces: boxes, masks and class
/// logits per frame are those of all frames; class logits per clip and identities are the mean over
/// pieces. For results, where a query of all pieces is one track.
TESSERA_API LayerPrediction rejoined(const LayerPrediction& prediction, int64_t pieces);
/// The rows of each piece in another order: rows [B',Q'] int64, an entry may come twice. Throws
/// RuntimeError for a negative one.
TESSERA_API LayerPrediction reordered(const LayerPrediction& prediction, const at::Tensor& rows);
/// The frames of each clip one below the other as a single frame, [B,1,...]: for matching and
/// losses that compare a track's pixels as one tall image. Class logits per frame become their
/// mean; boxes are undefined. `num_frames`: T of the prediction's masks.
TESSERA_API LayerPrediction stacked(const LayerPrediction& prediction, int64_t num_frames);
/// An instance is in the tall frame if it is in one of the frames. Boxes are undefined; the height
/// is that of all padded frames.
TESSERA_API Targets stacked(const Targets& targets);

}  // namespace tessera
