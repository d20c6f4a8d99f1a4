#include "tests/launcher/stage_parts.h"

namespace tessera::stage_parts {

TokenBackbone::TokenBackbone(const Options& options, const BuildContext&)
    : options_(options), colours_(register_module("colours", torch::nn::Linear(3, kPixels))) {
  if (!options.with_tokens) return;
  prefix_ = register_parameter("prefix", at::randn({kPrefix, kPixels}));
  angles_ = register_parameter("angles", at::randn({1, 4}));
}

FeaturePyramid TokenBackbone::forward(const ClipBatch& batch, const ForwardContext&) {
  const int64_t clips = batch.frames.size(0), frames = batch.frames.size(1);
  const at::Tensor pooled = at::avg_pool2d(batch.frames.flatten(0, 1), {8, 8});
  const at::Tensor maps =
      colours_->forward(pooled.permute({0, 2, 3, 1})).permute({0, 3, 1, 2}).contiguous();
  FeaturePyramid pyramid;
  FeatureLevel& level = pyramid.levels.emplace_back();
  level.features = maps.unflatten(0, {clips, frames});
  level.padding_mask = resize_padding_mask(batch.padding_mask, maps.size(2), maps.size(3));
  level.stride = 8;
  if (!options_.with_tokens) return pyramid;
  level.prefix = prefix_ + level.features.mean({3, 4}).unsqueeze(2);
  const at::Tensor cells = at::arange(maps.size(2) * maps.size(3), maps.options()).unsqueeze(1);
  pyramid.rotation = at::stack({(cells * angles_).cos(), (cells * angles_).sin()});
  return pyramid;
}

PyramidSpec TokenBackbone::spec() const {
  PyramidSpec spec;
  spec.levels = {{kPixels, 8, options_.with_tokens ? kPrefix : 0}};
  spec.has_rotation = options_.with_tokens;
  return spec;
}

void TokenBackbone::adapt_weights(std::vector<std::pair<std::string, at::Tensor>>& tensors) const {
  for (auto& [name, tensor] : tensors)
    if (name == "prefix" && tensor.size(0) > kPrefix) tensor = tensor.narrow(0, 0, kPrefix);
}

TokenEncoder::TokenEncoder(const Options& options, const BuildContext& context)
    : options_(options),
      num_frames_(context.clip.num_frames),
      project_(register_module("project", torch::nn::Linear(kPixels, kDim))),
      pixels_(register_module("pixels", torch::nn::Linear(kPixels, kPixels))) {}

Memory TokenEncoder::forward(const FeaturePyramid& pyramid, const ForwardContext&) {
  const FeatureLevel& level = pyramid.levels[0];
  const at::Tensor cells = level.features.flatten(3).transpose(2, 3);  // [B,T,S,C]
  Memory memory;
  const bool passes = options_.passes_prefix && level.prefix.defined();
  memory.tokens = project_->forward(passes ? at::cat({cells, level.prefix}, 2) : cells);
  memory.prefix = passes ? level.prefix.size(2) : 0;
  if (options_.passes_prefix) memory.rotation = pyramid.rotation;
  memory.levels = {{0, level.features.size(3), level.features.size(4), 8}};
  memory.valid_ratio = at::ones({cells.size(0), cells.size(1), 1, 2}, cells.options());
  memory.pixel_features = pixels_->forward(cells).transpose(2, 3).reshape(level.features.sizes());
  return memory;
}

ClipNeeds TokenEncoder::needs() const {
  ClipNeeds needs;
  needs.fixed_frames = options_.fixed_frames < 0 ? num_frames_ : options_.fixed_frames;
  return needs;
}

void TestDecoder::Options::describe(Schema<Options>& schema) {
  const auto add = [&schema](const char* name, auto member) {
    schema.field(name, member, "For tests.");
  };
  add("reads_prefix", &Options::reads_prefix);
  add("reads_rotation", &Options::reads_rotation);
  add("reads_raw", &Options::reads_raw);
  add("reads_identity", &Options::reads_identity);
  add("stages", &Options::stages);
  add("gives_raw", &Options::gives_raw);
  add("gives_pixels", &Options::gives_pixels);
  add("keeps_state", &Options::keeps_state);
  add("piece_frames", &Options::piece_frames);
  add("copies", &Options::copies);
  add("with_norm", &Options::with_norm);
  add("predicts_twice", &Options::predicts_twice);
  add("states_pixels", &Options::states_pixels);
}

TestDecoder::TestDecoder(const Options& options, const BuildContext& context)
    : options_(options),
      told_(context),
      project_(register_module("project", torch::nn::Linear(kDim, kDim))),
      mix_(register_module("mix", torch::nn::Linear(kDim, kDim))) {
  queries_ = register_parameter("queries", at::randn({kQueries, kDim}));
  if (options.gives_pixels)
    pixel_scale_ = register_parameter("pixel_scale", at::rand({kPixels, 1, 1}) + 0.5);
  if (!options.with_norm) return;
  norm_ = register_module("norm", torch::nn::BatchNorm1d(kDim));
  dropout_ = register_module("dropout", torch::nn::Dropout(0.5));
}

DecoderOutput TestDecoder::decode(const DecoderInput& input) {
  const Memory& memory = input.memory;
  const int64_t frames = memory.num_frames();
  at::Tensor x = queries_ + project_->forward(memory.tokens.mean(2)).unsqueeze(2);  // [B,T,Q,D]
  if (options_.reads_prefix)
    x = x + memory.tokens.narrow(2, memory.tokens.size(2) - memory.prefix, memory.prefix)
                .mean(2)
                .tanh()
                .unsqueeze(2);
  if (options_.reads_rotation) x = x + memory.rotation.select(0, 0).sum();
  input.context.look("decoder.earlier",
                     [&] { return at::tensor(static_cast<int64_t>(input.earlier.size())); });
  if (!input.earlier.empty()) {
    const InstanceLayer& before = input.earlier.back()->embeddings.layers.back();
    x = x + (options_.reads_raw ? before.raw : before.frame);
  }
  if (norm_) x = dropout_->forward(norm_->forward(x.flatten(0, 2))).view(x.sizes());
  DecoderOutput output;
  if (options_.keeps_state) {
    at::Tensor carried = input.state && !input.state->is_start() ? input.state->tensors.at(0)
                                                                 : at::zeros_like(x.select(1, 0));
    std::vector<at::Tensor> all;
    for (int64_t t = 0; t < frames; ++t) {
      carried = carried * 0.5 + x.select(1, t);
      all.push_back(carried);
    }
    x = at::stack(all, 1);
    output.state = {{carried}, frames + (input.state ? input.state->frames : 0)};
  }
  for (int64_t copy = 0; copy < options_.copies; ++copy)
    for (const at::Tensor& embedding : {x, mix_->forward(x)}) {
      InstanceLayer layer;
      layer.frame = embedding;
      if (options_.gives_raw) layer.raw = embedding * 2;
      if (options_.gives_pixels)
        layer.pixel_features = input.pyramid.levels[0].features * pixel_scale_;
      output.embeddings.layers.push_back(std::move(layer));
    }
  output.embeddings.copies = options_.copies;
  if (options_.predicts_twice) {
    input.predictor.predict(0, output.embeddings.layers[0], {.classes = true});
    input.predictor.predict(0, output.embeddings.layers[1], {.classes = true});
  }
  return output;
}

QuerySpec TestDecoder::spec() const {
  QuerySpec spec;
  spec.num_queries = kQueries;
  spec.dim = kDim;
  spec.num_layers = 2;
  spec.per_frame = true;
  spec.piece_frames = options_.piece_frames;
  if (options_.gives_pixels && options_.states_pixels) {
    spec.pixel_channels = kPixels;
    spec.pixel_stride = 8;
  }
  spec.keeps_state = options_.keeps_state;
  spec.gives_raw = options_.gives_raw;
  return spec;
}

StageReads TestDecoder::reads() const {
  StageReads reads;
  reads.prefix = options_.reads_prefix;
  reads.rotation = options_.reads_rotation;
  reads.raw = options_.reads_raw;
  reads.identity = options_.reads_identity;
  reads.stages = options_.stages;
  return reads;
}

void add_all(Registry& registry) {
  static const PluginDescriptor kDescriptors[] = {
      make_descriptor<Backbone, TokenBackbone>("token_backbone", "test"),
      make_descriptor<Encoder, TokenEncoder>("token_encoder", "test"),
      make_descriptor<Decoder, TestDecoder>("test_decoder", "test")};
  for (const PluginDescriptor& descriptor : kDescriptors) registry.add(descriptor, "test");
}

}  // namespace tessera::stage_parts
