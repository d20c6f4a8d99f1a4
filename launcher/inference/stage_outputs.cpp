#include "launcher/inference/stage_outputs.h"

#include <ATen/ATen.h>

#include <memory>
#include <utility>

#include "core/error.h"
#include "launcher/inference/structures.h"

namespace tessera {
namespace {

/// The masks of some clips of a batch, counted from 0.
class LaterClips final : public MaskSource {
 public:
  LaterClips(std::shared_ptr<const MaskSource> source, int64_t first)
      : source_(std::move(source)), first_(first) {}
  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    return source_->logits(first_ + clip, rows);
  }
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    return source_->logits_at(first_ + clip, rows, points);
  }
  at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                     int64_t width) const override {
    return source_->resized(first_ + clip, rows, height, width);
  }

 private:
  std::shared_ptr<const MaskSource> source_;
  int64_t first_;
};

at::Tensor narrowed(const at::Tensor& tensor, int64_t first, int64_t count) {
  return tensor.defined() ? tensor.narrow(0, first, count) : tensor;
}

/// in: [P,n,...] of the pieces of a clip. out: [1,P*n,...].
at::Tensor one_clip(const at::Tensor& pieces) {
  return pieces.size(0) == 1 ? pieces : pieces.flatten(0, 1).unsqueeze(0);
}

InstanceLayer joined_layer(std::vector<InstanceLayer> windows, const std::string& stage) {
  if (windows.size() == 1) return windows.front();
  if (windows.front().clip.defined() && !windows.front().frame.defined())
    throw ConfigError("stage '" + stage +
                      "': expected embeddings of every frame before a stage that sees the whole "
                      "video, got one embedding for a window. Set inference.window = \"all\".");
  std::vector<std::vector<at::Tensor>> members;  // of each window
  for (InstanceLayer& window : windows) {
    window.clip = at::Tensor();
    for_each_tensor(window, [&all = members.emplace_back()](at::Tensor& tensor, Leading) {
      all.push_back(tensor);
    });
  }
  InstanceLayer layer;
  size_t index = 0;
  for_each_tensor(layer, [&](at::Tensor& tensor, Leading) {
    std::vector<at::Tensor> parts;
    for (const auto& window : members) parts.push_back(window.at(index));
    ++index;
    if (parts.front().defined()) tensor = at::cat(parts, 1);
  });
  return layer;
}

/// Frames of the pieces that the windows have in common; 0 where a window is one prediction.
int64_t common_pieces(const std::vector<const StageOutput*>& windows) {
  const int64_t frames = windows.front()->piece_frames;
  for (const StageOutput* window : windows)
    if (window->piece_frames != frames) return 0;
  return frames;
}

/// Over all pieces, as in training; frame by frame where a window is one prediction.
LayerPrediction joined_predictions(const std::vector<const StageOutput*>& windows,
                                   const std::vector<int64_t>& lengths) {
  LayerPrediction all;
  const LayerPrediction& first = windows.front()->predictions.last();
  if (windows.size() == 1) {
    all = first;
    all.masks = nullptr;
    return all;
  }
  all.classes = first.classes;
  const bool has_pieces = common_pieces(windows) > 0;
  if (!has_pieces) all.classes.scope = ClassScope::frame;
  std::vector<at::Tensor> classes, boxes, identity;
  for (size_t i = 0; i < windows.size(); ++i) {
    const LayerPrediction& last = windows[i]->predictions.last();
    classes.push_back(has_pieces ? last.classes.logits
                                 : frame_classes(*windows[i], 0, lengths[i]).logits);
    boxes.push_back(has_pieces || !last.boxes.defined() ? last.boxes : one_clip(last.boxes));
    identity.push_back(last.identity);
  }
  const int64_t dim = has_pieces ? 0 : 1;
  all.classes.logits = at::cat(classes, dim);
  if (first.boxes.defined()) all.boxes = at::cat(boxes, dim);
  if (first.identity.defined() && has_pieces) all.identity = at::cat(identity, 0);
  return all;
}

}  // namespace

int64_t num_pieces(const StageOutput& output, int64_t num_frames) {
  return output.piece_frames > 0 ? num_frames / output.piece_frames : 1;
}

StageOutput clip_of(const StageOutput& output, int64_t clip, int64_t num_frames) {
  StageOutput one;
  one.piece_frames = output.piece_frames;
  one.embeddings = clip_of(output.embeddings, clip);
  const int64_t pieces = num_pieces(output, num_frames), first = clip * pieces;
  for (const LayerPrediction& layer : output.predictions.layers) {
    LayerPrediction& kept = one.predictions.layers.emplace_back(layer);
    kept.classes.logits = narrowed(layer.classes.logits, first, pieces);
    kept.boxes = narrowed(layer.boxes, first, pieces);
    kept.identity = narrowed(layer.identity, first, pieces);
    if (layer.masks && first > 0) kept.masks = std::make_shared<LaterClips>(layer.masks, first);
  }
  return one;
}

ClassLogits frame_classes(const StageOutput& output, int64_t clip, int64_t num_frames) {
  ClassLogits classes = output.predictions.last().classes;
  const int64_t pieces = num_pieces(output, num_frames);
  classes.logits = classes.logits.narrow(0, clip * pieces, pieces);
  if (classes.scope == ClassScope::clip)
    classes.logits = classes.logits.unsqueeze(1).expand({-1, num_frames / pieces, -1, -1});
  classes.scope = ClassScope::frame;
  classes.logits = one_clip(classes.logits);
  return classes;
}

at::Tensor rows_in_stage(const std::vector<StageOutput>& stages, size_t from, int64_t clip) {
  const auto num_rows = [&stages](size_t stage) {
    return stages.at(stage).predictions.last().classes.logits.size(-2);
  };
  at::Tensor rows;
  for (size_t stage = stages.size() - 1; stage > from; --stage) {
    const at::Tensor& before = stages[stage].embeddings.layers.back().row_before;
    if (before.defined()) {
      const at::Tensor of_stage = before.select(0, clip);  // [T,Q]
      rows = rows.defined() ? of_stage.gather(1, rows) : of_stage;
    } else if (num_rows(stage) != num_rows(stage - 1)) {
      throw ConfigError(
          "inference: expected a stage that tells which rows of the stage before it "
          "continues, because it has " +
          std::to_string(num_rows(stage)) + " rows after " + std::to_string(num_rows(stage - 1)) +
          ", got none. Its decoder gives InstanceLayer::row_before.");
    }
  }
  return rows;
}

StageOutput joined(const std::vector<const StageOutput*>& windows,
                   const std::vector<int64_t>& lengths, const std::string& stage) {
  StageOutput whole;
  whole.embeddings.copies = windows.front()->embeddings.copies;
  for (size_t layer = 0; layer < windows.front()->embeddings.layers.size(); ++layer) {
    std::vector<InstanceLayer> parts;
    for (const StageOutput* window : windows) parts.push_back(window->embeddings.layers.at(layer));
    whole.embeddings.layers.push_back(joined_layer(std::move(parts), stage));
  }
  whole.predictions.layers.push_back(joined_predictions(windows, lengths));
  whole.piece_frames = common_pieces(windows);
  return whole;
}

}  // namespace tessera
