#include <ATen/ATen.h>

#include "core/structures/shape.h"
#include "launcher/contract/inputs.h"
#include "launcher/contract/run_parts.h"

namespace tessera::contract {
namespace {

/// What an attention says of where it looked, where it says something.
void check_sampling(const AttentionSampling& sampling, const at::Tensor& query,
                    const Memory& memory, bool whole_clip) {
  if (!sampling.weights.defined()) return;
  ShapeBinding sizes{{'B', query.size(0)}, {'G', query.size(1)}, {'Q', query.size(2)}};
  if (sampling.locations.defined()) {
    expect_shape(sampling.weights, "[B,G,Q,M,P]", "sampling weights", sizes);
    sizes['R'] = sampling.locations.size(-1) == 2 ? 2 : 3;
    expect_shape(sampling.locations, "[B,G,Q,M,P,R]", "sampling locations", sizes);
  } else {
    sizes['K'] = memory.tokens.size(2) * (whole_clip ? memory.num_frames() : 1);
    expect_shape(sampling.weights, "[B,G,M,Q,K]", "attention weights", sizes);
  }
}

}  // namespace

std::vector<at::Tensor> run_backbone(Backbone& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const FeaturePyramid pyramid = part.forward(make_batch(frames, numbers), context);
  const PyramidSpec spec = part.spec();
  check(pyramid.levels.size() == spec.levels.size(), "as many levels as spec() says");
  std::vector<at::Tensor> outputs;
  for (size_t i = 0; i < spec.levels.size(); ++i) {
    ShapeBinding sizes{{'B', kClips}, {'T', frames}, {'C', spec.levels[i].channels}};
    expect_shape(pyramid.levels[i].features, "[B,T,C,h,w]", "level " + std::to_string(i), sizes);
    expect_shape(pyramid.levels[i].padding_mask, "[B,T,h,w]",
                 "padding of level " + std::to_string(i), sizes);
    check(pyramid.levels[i].stride == spec.levels[i].stride, "the strides that spec() says");
    check((kHeight + spec.levels[i].stride - 1) / spec.levels[i].stride == sizes['h'],
          "a map of height H / stride");
    outputs.push_back(pyramid.levels[i].features);
  }
  return outputs;
}

std::vector<at::Tensor> run_attention(Attention& part, int64_t frames, Numbers& numbers) {
  const AttentionTraits traits = part.traits();
  const Memory memory = make_memory(frames, numbers);
  const int64_t groups = traits.scope == AttentionTraits::Scope::clip ? 1 : frames;
  at::Tensor query = numbers.normal({kClips, groups, 5, kDim}),
             position = numbers.normal({kClips, groups, 5, kDim});
  if (traits.memory_to_memory_only) {
    query = memory.tokens.reshape({kClips, groups, -1, kDim});
    position = memory.position.reshape({kClips, groups, -1, kDim});
  }
  at::Tensor references;
  if (traits.reference_dim > 0)
    references = numbers.uniform({kClips, groups, query.size(2), traits.reference_dim});
  const ForwardContext context;
  const AttentionOutput output =
      part.forward({query, position, references, memory, {}, /*wants_sampling=*/true}, context);
  check(output.values.size() == 1, "as many outputs as the spec asks for (1)");
  check(output.values[0].sizes() == query.sizes(), "an output shaped as the query, " +
                                                       shape_text(query.sizes()) + ", got " +
                                                       shape_text(output.values[0].sizes()));
  check_sampling(output.sampling, query, memory, groups == 1);
  return output.values;
}

std::vector<at::Tensor> run_encoder(Encoder& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const Memory memory = part.forward(make_pyramid(frames, numbers), context);
  const MemorySpec spec = part.spec();
  ShapeBinding sizes{{'B', kClips},
                     {'T', frames},
                     {'D', spec.dim},
                     {'L', static_cast<int64_t>(spec.strides.size())}};
  expect_shape(memory.tokens, "[B,T,S,D]", "memory", sizes);
  expect_shape(memory.valid_ratio, "[B,T,L,2]", "valid_ratio", sizes);
  if (memory.padding_mask.defined())
    expect_shape(memory.padding_mask, "[B,T,S]", "padding_mask", sizes);
  check(memory.levels.size() == spec.strides.size(), "as many levels as spec() says");
  check(memory.pixel_features.defined() == (spec.pixel_channels > 0),
        "fine features just where spec() says so");
  if (!memory.pixel_features.defined()) return {memory.tokens};
  sizes['C'] = spec.pixel_channels;
  expect_shape(memory.pixel_features, "[B,T,C,h,w]", "pixel_features", sizes);
  check((kHeight + spec.pixel_stride - 1) / spec.pixel_stride == sizes['h'],
        "fine features of height H / pixel_stride");
  return {memory.tokens, memory.pixel_features};
}

}  // namespace tessera::contract
