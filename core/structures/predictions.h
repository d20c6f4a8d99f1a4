#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/export.h"
#include "core/structures/features.h"

namespace tessera {

/// What a decoder gives after one layer: a vector per query for the clip, per frame, or both.
struct InstanceLayer {
  at::Tensor clip;        // [B,Q,D] or undefined
  at::Tensor frame;       // [B,T,Q,D] or undefined
  at::Tensor references;  // [B,T,Q,R] points (R = 2, 3) or boxes (R = 4) that the layer looked
                          // around, sigmoid; or undefined
  // What further stages may read; given where QuerySpec says so.
  at::Tensor raw{};         // [B,T,Q,D] before the last norm
  at::Tensor anchor{};      // [B,T,Q,D] the reference that each row was queried with
  at::Tensor source{};      // [B,T,M,E] a vector for each row of an earlier stage, in its order
  at::Tensor row_before{};  // [B,T,Q] int64, the row of the stage before that this row continues
  /// [B,T,C,h,w] features for mask heads in place of the memory's, which the decoder changed.
  at::Tensor pixel_features{};
};

template <class Visit>
void for_each_tensor(InstanceLayer& layer, Visit&& visit) {
  visit(layer.clip, Leading::clip);
  for (at::Tensor* tensor : {&layer.frame, &layer.references, &layer.raw, &layer.anchor,
                             &layer.source, &layer.row_before, &layer.pixel_features})
    visit(*tensor, Leading::frames);
}

/// The layers of a decoder, first to last. May begin with the learnt queries (L + 1 entries). A
/// decoder that looks at the clip several times (once a window of frames) gives the layers of one
/// copy after those of the other: copies * QuerySpec::num_layers entries.
struct InstanceEmbeddings {
  std::vector<InstanceLayer> layers;
  int64_t copies = 1;
};

template <class Visit>
void for_each_tensor(InstanceEmbeddings& embeddings, Visit&& visit) {
  for (InstanceLayer& layer : embeddings.layers) for_each_tensor(layer, visit);
}

/// What is known of the queries when the model is built.
struct QuerySpec {
  int64_t num_queries = 0;  // Q: instances a clip can hold
  int64_t dim = 0;
  int64_t num_layers = 0;  // entries of InstanceEmbeddings::layers
  bool per_frame = false;  // whether InstanceLayer::frame is given
  /// Frames of one prediction: a clip of T frames is T / piece_frames of them, each with masks and
  /// classes of its own, matched by itself. 0: one prediction for the clip.
  int64_t piece_frames = 0;
  int64_t pixel_channels = 0;  // of InstanceLayer::pixel_features; 0: they are not given
  int64_t pixel_stride = 0;
  bool keeps_state = false;  // windows of a video come in order, one at a time
  bool needs_video = false;  // in inference all frames of a video at once
  // Members of InstanceLayer that are given.
  bool gives_raw = false, gives_anchor = false, gives_source = false, gives_rows = false;
};

/// What a decoder keeps of a video from window to window: a value that goes in and comes out.
/// Tensors [B,...], float32 whatever the window was computed in.
struct VideoState {
  std::vector<at::Tensor> tensors{};
  int64_t frames = 0;  // seen so far

  /// Whether a video starts here.
  bool is_start() const { return tensors.empty(); }
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
  at::Tensor identity{};  // [B,Q,E] for comparing instances of different frames, or undefined
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

/// What a stage of the model found.
struct StageOutput {
  InstanceEmbeddings embeddings;  // over clips of T frames, float32
  /// Over pieces: B * T / n clips of n frames, those of a clip one after the other.
  Predictions predictions;
  int64_t piece_frames = 0;  // n; 0: T
};

}  // namespace tessera
