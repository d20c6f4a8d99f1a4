#pragma once

#include <vector>

#include "core/interfaces/part.h"
#include "core/structures/features.h"

namespace tessera {

/// What an attention is told when the model is built.
struct AttentionSpec {
  int64_t dim = 0;                // width D of queries, memory and each output
  int64_t num_outputs = 1;        // output projections that the caller wants (SeqFormer: 2)
  std::vector<int64_t> strides;   // [L] levels of the memory it will read; one entry for queries
  bool memory_to_memory = false;  // queries are the memory's own tokens (an encoder layer)
  double dropout = 0.0;
};

/// What a caller must know of an attention when the model is built.
struct AttentionTraits {
  /// clip: queries of all frames attend together, AttentionInput::query is [B,1,Lq,D].
  /// frame: each frame attends by itself, [B,T,Lq,D].
  enum class Scope { clip, frame };
  Scope scope = Scope::clip;
  int64_t reference_dim = 0;  // 0 none, 2 (x,y), 3 (x,y,t), 4 boxes: what `references` must hold
  bool takes_boxes = false;   // `references` may be boxes in place of points (reference_dim 2)
  bool uses_blocked = false;  // reads AttentionInput::blocked
  bool multi_level = false;   // reads more than one level
  int64_t fixed_frames = 0;   // works for exactly so many frames, 0 = any
  bool memory_to_memory_only = false;  // works only where queries are the memory's tokens
};

struct AttentionInput {
  at::Tensor query;           // [B,G,Lq,D]; G = 1 (scope clip) or T (scope frame)
  at::Tensor query_position;  // [B,G,Lq,D], [1,1,Lq,D], or undefined; added to the query
  at::Tensor references;      // [B,G,Lq,R] in 0..1 over the unpadded volume, or undefined; the
                              // attention scales them by the memory's valid_ratio
  const Memory& memory;       // keys and values; its position is added to the keys where it has one
  at::Tensor blocked;         // [B,G,Lq,G'*S] bool, true = may not attend; or undefined
  bool wants_sampling = false;  // fill AttentionOutput::sampling
};

/// Where queries looked: at points, or (locations undefined) at every cell. Filled where
/// AttentionInput::wants_sampling says so; an attention that cannot tell leaves it undefined.
struct AttentionSampling {
  at::Tensor locations;  // [B,G,Lq,M,P,2|3] (x, y) in the query's own frame, or (x, y, t), in 0..1
                         // over the padded volume; what lies outside reads zero
  at::Tensor weights;    // [B,G,Lq,M,P] of the points, or dense [B,G,M,Lq,keys]: the memory's S
                         // tokens, of all frames (frame-major) where the scope is the clip
};

struct AttentionOutput {
  std::vector<at::Tensor> values;  // num_outputs x [B,G,Lq,D]
  AttentionSampling sampling;
};

/// Queries read from a memory: dense, deformable, masked, split, ...
class TESSERA_API Attention : public Part {
 public:
  static constexpr const char* kKind = "attention";
  ~Attention() override;

  virtual AttentionOutput forward(const AttentionInput& input, const ForwardContext& context) = 0;
  virtual AttentionTraits traits() const = 0;
};

/// An attention's forward for a parent that has it under `name`: where the context's recorder wants
/// to know, it is told where the queries looked.
TESSERA_API AttentionOutput attend(Attention& attention, AttentionInput input,
                                   const ForwardContext& context, const std::string& name);

}  // namespace tessera
