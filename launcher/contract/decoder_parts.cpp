#include "launcher/contract/decoder_parts.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/structures/shape.h"

namespace tessera::contract {
namespace {

/// Heads that give fixed numbers, for a decoder that asks.
class FixedPredictor final : public InstancePredictor {
 public:
  explicit FixedPredictor(LayerPrediction prediction) : prediction_(std::move(prediction)) {}
  LayerPrediction predict(int64_t, const InstanceLayer&, PredictionWant) override {
    return prediction_;
  }

 private:
  LayerPrediction prediction_;
};

/// Frames [first, first + count) of whatever has frames.
template <class Structure>
Structure frames_of(Structure structure, int64_t first, int64_t count) {
  for_each_tensor(structure, [&](at::Tensor& tensor, Leading leading) {
    if (leading == Leading::frames && tensor.defined()) tensor = tensor.narrow(1, first, count);
  });
  return structure;
}

/// The same of a prediction over pieces of `piece` frames.
LayerPrediction frames_of(LayerPrediction prediction, int64_t piece, int64_t first, int64_t count) {
  const auto cut = [&](const at::Tensor& x) {  // [B * pieces, ...]
    return x.unflatten(0, {kClips, -1}).narrow(1, first / piece, count / piece).flatten(0, 1);
  };
  const bool in_pieces = prediction.boxes.size(0) > kClips;
  const at::Tensor& masks = dynamic_cast<const FixedMasks&>(*prediction.masks).all();
  prediction.classes.logits = in_pieces ? cut(prediction.classes.logits)
                                        : prediction.classes.logits.narrow(1, first, count);
  prediction.boxes = in_pieces ? cut(prediction.boxes) : prediction.boxes.narrow(1, first, count);
  prediction.masks =
      std::make_shared<FixedMasks>(in_pieces ? cut(masks) : masks.narrow(2, first, count));
  return prediction;
}

/// A video that a decoder sees whole or window by window.
class Video {
 public:
  Video(const Decoder& part, int64_t frames, Numbers& numbers)
      : piece_(part.spec().piece_frames),
        prediction_(piece_ > 0 && frames % piece_ == 0
                        ? make_prediction(piece_, numbers, part.spec().num_queries,
                                          kClips * frames / piece_)
                        : make_prediction(frames, numbers, part.spec().num_queries)),
        memory_(make_memory(frames, numbers)),
        pyramid_(make_pyramid(frames, numbers)) {
    const DecoderSurroundings around = surroundings_of(part.reads());
    if (around.tokens) add_tokens(pyramid_, memory_, numbers);
    for (int64_t i = 0; i < around.stages; ++i) earlier_.push_back(make_stage(frames, numbers));
  }

  DecoderOutput decode(Decoder& part, int64_t first, int64_t count, const VideoState* state) const {
    const ForwardContext context;
    FixedPredictor heads(frames_of(prediction_, std::max<int64_t>(1, piece_), first, count));
    std::vector<StageOutput> earlier;
    for (const StageOutput& stage : earlier_) {
      StageOutput& seen = earlier.emplace_back();
      seen.embeddings = frames_of(stage.embeddings, first, count);
      for (const LayerPrediction& layer : stage.predictions.layers)
        seen.predictions.layers.push_back(frames_of(layer, 1, first, count));
    }
    std::vector<const StageOutput*> stages;
    for (const StageOutput& stage : earlier) stages.push_back(&stage);
    return part.decode({frames_of(pyramid_, first, count), frames_of(memory_, first, count), heads,
                        context, stages, state});
  }

 private:
  int64_t piece_;
  LayerPrediction prediction_;
  Memory memory_;
  FeaturePyramid pyramid_;
  std::vector<StageOutput> earlier_;
};

void check_layer(const InstanceLayer& layer, const QuerySpec& spec, int64_t frames) {
  ShapeBinding sizes{{'B', kClips}, {'T', frames}, {'Q', spec.num_queries}, {'D', spec.dim}};
  check(layer.frame.defined() == spec.per_frame, "embeddings per frame just where spec() says so");
  if (layer.frame.defined()) expect_shape(layer.frame, "[B,T,Q,D]", "embeddings", sizes);
  if (layer.clip.defined()) expect_shape(layer.clip, "[B,Q,D]", "embeddings", sizes);
  if (spec.gives_raw) expect_shape(layer.raw, "[B,T,Q,D]", "raw", sizes);
  if (spec.gives_anchor) expect_shape(layer.anchor, "[B,T,Q,D]", "anchor", sizes);
  if (spec.gives_source) expect_shape(layer.source, "[B,T,M,E]", "source", sizes);
  if (spec.gives_rows) expect_shape(layer.row_before, "[B,T,Q]", "row_before", sizes);
  if (spec.pixel_channels == 0) return;
  sizes['C'] = spec.pixel_channels;
  expect_shape(layer.pixel_features, "[B,T,C,h,w]", "pixel_features", sizes);
}

void check_same(const at::Tensor& found, const at::Tensor& goal, const std::string& what) {
  check(found.sizes() == goal.sizes() && at::allclose(found, goal, 1e-3, 1e-4), what);
}

/// Embeddings of the last layer, as far as they belong to frames, and the state that is left.
struct Run {
  at::Tensor frame;
  VideoState state;
};

Run run_of(const DecoderOutput& output) {
  return {output.embeddings.layers.back().frame, output.state};
}

/// The video in windows of one frame each, or of one piece.
Run in_windows(Decoder& part, const Video& video, int64_t frames, int64_t window) {
  Run run;
  std::vector<at::Tensor> all;
  for (int64_t first = 0; first < frames; first += window) {
    const Run next = run_of(video.decode(part, first, std::min(window, frames - first),
                                         first == 0 ? nullptr : &run.state));
    if (next.frame.defined()) all.push_back(next.frame);
    run.state = next.state;
  }
  if (!all.empty()) run.frame = at::cat(all, 1);
  return run;
}

void check_windows(Decoder& part, const Video& video, int64_t frames) {
  const int64_t window = std::max<int64_t>(1, part.spec().piece_frames);
  if (window >= frames) return;
  const Run whole = run_of(video.decode(part, 0, frames, nullptr)),
            windows = in_windows(part, video, frames, window);
  if (whole.frame.defined())
    check_same(windows.frame, whole.frame,
               "frames in windows of " + std::to_string(window) +
                   " to have the embeddings that they have in one window of " +
                   std::to_string(frames));
  check(windows.state.frames == whole.state.frames && whole.state.frames == frames,
        "a state that counts the frames that were seen, " + std::to_string(frames) + ", got " +
            std::to_string(whole.state.frames) + " after one window and " +
            std::to_string(windows.state.frames) + " after several");
  check(windows.state.tensors.size() == whole.state.tensors.size(),
        "as many tensors in the state after several windows as after one");
  for (size_t i = 0; i < whole.state.tensors.size(); ++i)
    check_same(windows.state.tensors[i], whole.state.tensors[i],
               "the same state after several windows as after one, in tensor " + std::to_string(i));
}

void check_given_state(Decoder& part, const Video& video, int64_t frames) {
  const VideoState given = video.decode(part, 0, frames, nullptr).state;
  VideoState copy = given;
  for (at::Tensor& tensor : copy.tensors) tensor = tensor.clone();
  video.decode(part, 0, frames, &given);
  for (size_t i = 0; i < given.tensors.size(); ++i)
    check(given.tensors[i].equal(copy.tensors[i]),
          "the state of the window before to stay as it was, got a change in tensor " +
              std::to_string(i));
}

void check_fresh_video(Decoder& part, const Video& video, int64_t frames) {
  const Run first = run_of(video.decode(part, 0, frames, nullptr));
  video.decode(part, 0, frames, &first.state);
  const VideoState start;
  for (const VideoState* state : {static_cast<const VideoState*>(nullptr), &start}) {
    const Run again = run_of(video.decode(part, 0, frames, state));
    const std::string how = state ? "a state that is a start" : "no state";
    if (first.frame.defined())
      check(again.frame.equal(first.frame),
            "a video that begins with " + how + " to depend on no video before");
    for (size_t i = 0; i < first.state.tensors.size(); ++i)
      check(again.state.tensors.at(i).equal(first.state.tensors[i]),
            "the state of a video that begins with " + how + " to depend on no video before");
  }
}

void check_state_tensors(Decoder& part, const Video& video, int64_t frames) {
  const VideoState state = video.decode(part, 0, frames, nullptr).state;
  check(!state.is_start(), "a state, as spec() states with keeps_state, got none");
  for (size_t i = 0; i < state.tensors.size(); ++i) {
    const at::Tensor& tensor = state.tensors[i];
    check(tensor.scalar_type() == at::kFloat, "a state of float32 tensors, got " +
                                                  std::string(c10::toString(tensor.scalar_type())) +
                                                  " in tensor " + std::to_string(i));
    check(tensor.dim() > 0 && tensor.size(0) == kClips,
          "tensors [B,...] in the state, got " + shape_text(tensor.sizes()) +
              " for B = " + std::to_string(kClips) + " in tensor " + std::to_string(i));
  }
}

}  // namespace

DecoderSurroundings surroundings_of(const StageReads& reads) {
  const bool reads_stage = reads.raw || reads.anchor || reads.source || reads.identity;
  return {std::max<int64_t>(reads.stages, reads_stage ? 1 : 0), reads.prefix || reads.rotation};
}

void surround(BuildContext& context, const DecoderSurroundings& surroundings) {
  context.pyramid = pyramid_spec(surroundings.tokens);
  context.earlier.assign(static_cast<size_t>(surroundings.stages), stage_spec());
}

DecoderSurroundings find_surroundings(const PluginDescriptor& plugin, const void* options,
                                      const BuildContext& context) {
  // What it reads is known only once it is made, and it may refuse to be made without.
  for (const DecoderSurroundings& tried :
       {DecoderSurroundings{0, false}, DecoderSurroundings{2, false}, DecoderSurroundings{0, true},
        DecoderSurroundings{2, true}}) {
    BuildContext told = context;
    surround(told, tried);
    try {
      const auto part = std::dynamic_pointer_cast<Decoder>(plugin.create(options, told));
      if (part) return surroundings_of(part->reads());
    } catch (const std::exception&) {
      continue;  // where none will do, the check that builds it shows the error
    }
  }
  return {};
}

std::vector<at::Tensor> run_decoder(Decoder& part, int64_t frames, Numbers& numbers) {
  const QuerySpec spec = part.spec();
  const DecoderOutput output = Video(part, frames, numbers).decode(part, 0, frames, nullptr);
  const InstanceEmbeddings& embeddings = output.embeddings;
  check(static_cast<int64_t>(embeddings.layers.size()) == embeddings.copies * spec.num_layers,
        "as many layers as spec() says, for each copy");
  check(spec.keeps_state || output.state.is_start(),
        "no state, because spec() does not state keeps_state");
  std::vector<at::Tensor> outputs;
  for (const InstanceLayer& layer : embeddings.layers) {
    check_layer(layer, spec, frames);
    for (const at::Tensor& found : {layer.frame, layer.clip})
      if (found.defined()) outputs.push_back(found);
  }
  return outputs;
}

std::vector<NamedCheck> state_checks(Decoder& part, int64_t frames) {
  if (!part.spec().keeps_state) return {};
  const auto with_video = [&part, frames](auto body) {
    return [&part, frames, body] {
      const at::NoGradGuard no_grad;
      Numbers numbers(at::kFloat);
      body(part, Video(part, frames, numbers), frames);
    };
  };
  return {{"keeps a state of float32 tensors", with_video(check_state_tensors)},
          {"leaves the state that it is given as it was", with_video(check_given_state)},
          {"begins every video afresh", with_video(check_fresh_video)},
          {"gives in several windows what it gives in one", with_video(check_windows)}};
}

}  // namespace tessera::contract
