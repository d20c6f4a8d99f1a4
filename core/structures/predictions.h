#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/export.h"

namespace tessera {

/// What a decoder gives after one layer: a vector per query for the clip, per frame, or both.
struct InstanceLayer {
  at::Tensor clip;        // [B,Q,D] or undefined
  at::Tensor frame;       // [B,T,Q,D] or undefined
  at::Tensor references;  // [B,T,Q,R] points (R = 2, 3) or boxes (R = 4) that the layer looked
                          // around, sigmoid; or undefined
};

/// The layers of a decoder, first to last. May begin with the learnt queries (L + 1 entries).
struct InstanceEmbeddings {
  std::vector<InstanceLayer> layers;
};

/// What is known of the queries when the model is built.
struct QuerySpec {
  int64_t num_queries = 0;  // Q: instances a clip can hold
  int64_t dim = 0;
  int64_t num_layers = 0;  // entries of InstanceEmbeddings::layers
  bool per_frame = false;  // whether InstanceLayer::frame is given
};

enum class ClassScope { clip, frame };
enum class ClassActivation { softmax_no_object, sigmoid };

/// Class logits with their coding.
struct ClassLogits {
  at::Tensor
      logits;  // clip: [B,Q,C]; frame: [B,T,Q,C]; softmax_no_object: the last of C is no-object
  ClassScope scope = ClassScope::clip;
  ClassActivation activation = ClassActivation::softmax_no_object;
  int64_t label_offset = 0;  // class index = category index + label_offset

  int64_t num_classes() const {  // without no-object
    return logits.size(-1) - (activation == ClassActivation::softmax_no_object ? 1 : 0);
  }
  /// Probabilities without the no-object class, same leading dimensions as `logits`.
  TESSERA_API at::Tensor probabilities() const;
};

/// Gives mask logits for just the tracks that somebody needs.
class TESSERA_API MaskSource {
 public:
  virtual ~MaskSource();
  /// in: clip index b, rows [R] int64 query indices of that clip. out: [R,T,h,w] float logits at
  /// the head's own stride.
  virtual at::Tensor logits(int64_t clip, const at::Tensor& rows) const = 0;
  /// in: points [R,T,P,2] (x, y) in 0..1 over the padded frame. out: [R,T,P] logits, bilinear.
  /// The default samples logits(); a head that can do better overrides it, for instance where all
  /// rows share their points (then the caller gives an expanded tensor: `points.stride(0) == 0`).
  virtual at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                               const at::Tensor& points) const;
  /// The logits at another size, bilinear (align_corners = false): [R,T,height,width]. For decoders
  /// that attend where masks lie. The default resizes logits().
  virtual at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                             int64_t width) const;
};

/// What the heads say after one decoder layer. Parts that were not asked for are undefined.
struct LayerPrediction {
  ClassLogits classes;
  at::Tensor boxes;  // [B,T,Q,4] cx cy w h over the unpadded frame, sigmoid
  std::shared_ptr<const MaskSource> masks;
};

/// All layers, the last one is the result.
struct Predictions {
  std::vector<LayerPrediction> layers;
  const LayerPrediction& last() const { return layers.back(); }
};

/// One clip's assignment of predictions to ground truth. Pairs are sorted by prediction.
struct ClipMatch {
  at::Tensor prediction;  // [R] int64 query indices
  at::Tensor target;      // [R] int64 instance indices
  at::Tensor valid;       // [R,T] bool: frames in which the pair is trained
  at::Tensor cost;        // [Q,N] float, what was minimised
};

using Matches = std::vector<ClipMatch>;  // [B]

}  // namespace tessera
