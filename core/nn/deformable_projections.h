#pragma once

#include <torch/nn/modules/linear.h>

#include <vector>

#include "core/export.h"
#include "core/interfaces/attention.h"
#include "core/structures/features.h"

namespace tessera {

/// The linear layers that every deformable attention has (Deformable DETR, Zhu et al. 2021), and
/// their start. Keys in the attention that owns them: sampling_offsets, attention_weights,
/// value_proj, output_proj; further outputs: output_proj_1, ...
class TESSERA_API DeformableProjections {
 public:
  struct Sizes {
    int64_t num_heads = 0;   // M
    int64_t num_levels = 0;  // L that one softmax runs over
    int64_t num_points = 0;  // K on each level
    int64_t num_axes = 2;    // 2: (x, y); 3: (x, y, t)
  };

  /// Registers the layers with `owner`. Throws ConfigError where the heads do not divide the width
  /// that `spec` states.
  DeformableProjections(torch::nn::Module& owner, const AttentionSpec& spec, const Sizes& sizes);

  int64_t dim() const { return value_proj_->options.out_features(); }
  /// in: query [..,D]. out: [..,M,L,K,A] in cells and frames, float32 under autocast.
  at::Tensor offsets(const at::Tensor& query);
  /// in: query [..,D]. out: [..,M,L,K], one for all points of a head together.
  at::Tensor weights(const at::Tensor& query);
  /// in: any cells [..,D]. out: [..,D].
  at::Tensor values(const at::Tensor& cells);
  /// Of a memory's tokens, zero where there is padding: [B,T,S,D].
  at::Tensor values(const Memory& memory);
  /// in: what was read, [..,D]. out: every output's projection of it.
  std::vector<at::Tensor> outputs(const at::Tensor& read);

 private:
  void reset();

  Sizes sizes_;
  torch::nn::Linear sampling_offsets_, attention_weights_, value_proj_;
  std::vector<torch::nn::Linear> output_proj_;
};

}  // namespace tessera
