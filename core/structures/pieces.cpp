#include "core/structures/pieces.h"

#include <ATen/ATen.h>

#include <string>
#include <utility>

#include "core/error.h"
#include "core/structures/shape.h"

namespace tessera {
namespace {

int64_t num_pieces(int64_t num_frames, int64_t n) {
  if (n < 1 || num_frames % n != 0)
    throw RuntimeError("pieces of a clip: expected a number of frames that " + std::to_string(n) +
                       " divides, got " + std::to_string(num_frames) + ".");
  return num_frames / n;
}

/// [B,T,...] -> [B*T/n,n,...].
at::Tensor cut_frames(const at::Tensor& x, int64_t n) {
  if (!x.defined()) return x;
  const int64_t pieces = num_pieces(x.size(1), n);
  return pieces == 1 ? x : x.unflatten(1, {pieces, n}).flatten(0, 1);
}

/// [B*P,n,...] -> [B,P*n,...].
at::Tensor join_frames(const at::Tensor& x, int64_t pieces) {
  if (!x.defined() || pieces == 1) return x;
  return x.unflatten(0, {x.size(0) / pieces, pieces}).flatten(1, 2);
}

/// [B,...] -> [B*P,...], each entry P times.
at::Tensor repeat_clips(const at::Tensor& x, int64_t pieces) {
  if (!x.defined() || pieces == 1) return x;
  std::vector<int64_t> sizes(static_cast<size_t>(x.dim()) + 1, -1);
  sizes[1] = pieces;
  return x.unsqueeze(1).expand(sizes).flatten(0, 1);
}

/// [B*P,...] -> [B,...], the mean over the pieces of a clip.
at::Tensor mean_of_pieces(const at::Tensor& x, int64_t pieces) {
  if (!x.defined() || pieces == 1) return x;
  return x.unflatten(0, {x.size(0) / pieces, pieces}).mean(1);
}

template <class Struct>
Struct with_frames_cut(Struct whole, int64_t n) {
  for_each_tensor(whole, [n](at::Tensor& tensor, Leading leading) {
    if (leading == Leading::frames) tensor = cut_frames(tensor, n);
  });
  return whole;
}

int64_t frames_of_layer(InstanceLayer& layer) {
  int64_t frames = 0;
  for_each_tensor(layer, [&](const at::Tensor& tensor, Leading leading) {
    if (tensor.defined() && leading == Leading::frames) frames = tensor.size(1);
  });
  if (frames == 0)
    throw RuntimeError(
        "pieces of a clip: expected embeddings per frame or the number of frames, got embeddings "
        "of the clip only.");
  return frames;
}

/// Several pieces' masks as those of one clip.
class RejoinedMasks final : public MaskSource {
 public:
  RejoinedMasks(std::shared_ptr<const MaskSource> source, int64_t pieces)
      : source_(std::move(source)), pieces_(pieces) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    return over_pieces(
        [&](int64_t piece) { return source_->logits(clip * pieces_ + piece, rows); });
  }
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    const int64_t frames = num_pieces(points.size(1), pieces_);  // of a piece
    return over_pieces([&](int64_t piece) {
      return source_->logits_at(clip * pieces_ + piece, rows,
                                points.narrow(1, piece * frames, frames));
    });
  }
  at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                     int64_t width) const override {
    return over_pieces([&](int64_t piece) {
      return source_->resized(clip * pieces_ + piece, rows, height, width);
    });
  }

 private:
  template <class Make>
  at::Tensor over_pieces(Make&& make) const {
    std::vector<at::Tensor> all;
    for (int64_t piece = 0; piece < pieces_; ++piece) all.push_back(make(piece));
    return at::cat(all, 1);
  }

  std::shared_ptr<const MaskSource> source_;
  int64_t pieces_;
};

class ReorderedMasks final : public MaskSource {
 public:
  ReorderedMasks(std::shared_ptr<const MaskSource> source, at::Tensor rows)
      : source_(std::move(source)), rows_(std::move(rows)) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    return source_->logits(clip, before(clip, rows));
  }
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    return source_->logits_at(clip, before(clip, rows), points);
  }
  at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                     int64_t width) const override {
    return source_->resized(clip, before(clip, rows), height, width);
  }

 private:
  at::Tensor before(int64_t clip, const at::Tensor& rows) const {
    return rows_.select(0, clip).index_select(0, rows);
  }

  std::shared_ptr<const MaskSource> source_;
  at::Tensor rows_;  // [B',Q']
};

/// [R,1,T*h,w]. Points and sizes are those of the tall image, so the defaults are right.
class StackedMasks final : public MaskSource {
 public:
  StackedMasks(std::shared_ptr<const MaskSource> source, int64_t num_frames)
      : source_(std::move(source)), num_frames_(num_frames) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    const at::Tensor maps = source_->logits(clip, rows);
    ShapeBinding sizes{{'T', num_frames_}};
    expect_shape(maps, "[R,T,h,w]", "masks to stack", sizes);
    return maps.flatten(1, 2).unsqueeze(1);
  }

 private:
  std::shared_ptr<const MaskSource> source_;
  int64_t num_frames_;
};

/// An odd number whose multiples differ in all bits.
constexpr uint64_t kSpread = 0x9e3779b97f4a7c15U;

uint64_t key_of_piece(uint64_t key, int64_t piece) {
  if (key == 0 || piece == 0) return key;
  const uint64_t mixed = key ^ (static_cast<uint64_t>(piece) * kSpread);
  return mixed == 0 ? kSpread : mixed;
}

}  // namespace

FeaturePyramid in_pieces(FeaturePyramid pyramid, int64_t n) {
  return with_frames_cut(std::move(pyramid), n);
}

Memory in_pieces(Memory memory, int64_t n) {
  return with_frames_cut(std::move(memory), n);
}

InstanceLayer in_pieces(InstanceLayer layer, int64_t n, int64_t num_frames) {
  const int64_t pieces = num_pieces(num_frames > 0 ? num_frames : frames_of_layer(layer), n);
  for_each_tensor(layer, [&](at::Tensor& tensor, Leading leading) {
    tensor = leading == Leading::clip ? repeat_clips(tensor, pieces) : cut_frames(tensor, n);
  });
  return layer;
}

InstanceEmbeddings in_pieces(InstanceEmbeddings embeddings, int64_t n, int64_t num_frames) {
  for (InstanceLayer& layer : embeddings.layers) layer = in_pieces(std::move(layer), n, num_frames);
  return embeddings;
}

Targets in_pieces(const Targets& targets, int64_t n, bool keep_absent) {
  Targets all;
  for (size_t clip = 0; clip < targets.size(); ++clip) {
    const ClipTargets& whole = targets[clip];
    const int64_t pieces = num_pieces(whole.valid.size(1), n);
    for (int64_t piece = 0; piece < pieces; ++piece) {
      ClipTargets& part = all.emplace_back(whole);
      for (at::Tensor* tensor : {&part.boxes, &part.masks, &part.valid})
        if (tensor->defined()) *tensor = tensor->narrow(1, piece * n, n);
      part.instance = at::arange(whole.num_instances(), whole.labels.options());
      if (!keep_absent) {
        const at::Tensor present = part.valid.any(1).nonzero().squeeze(1);
        if (present.size(0) < whole.num_instances())
          for (at::Tensor* tensor :
               {&part.labels, &part.boxes, &part.masks, &part.valid, &part.instance})
            if (tensor->defined()) *tensor = tensor->index_select(0, present);
      }
      part.clip = static_cast<int64_t>(clip);
      part.piece = piece;
      part.random_key = key_of_piece(whole.random_key, piece);
    }
  }
  return all;
}

InstanceEmbeddings frames_joined(InstanceEmbeddings embeddings, int64_t num_frames) {
  for (InstanceLayer& layer : embeddings.layers) {
    if (layer.clip.defined() && layer.frame.defined())
      throw RuntimeError(
          "frames of a clip, each by itself: expected one embedding for each query and frame, got "
          "those of a clip and those of its frames. Use a decoder that gives one of them.");
    if (layer.clip.defined()) layer.frame = std::exchange(layer.clip, {}).unsqueeze(1);
    for_each_tensor(layer, [&](at::Tensor& tensor, Leading leading) {
      if (leading == Leading::frames) tensor = join_frames(tensor, num_frames);
    });
  }
  return embeddings;
}

Memory frames_joined(Memory memory, int64_t num_frames) {
  for_each_tensor(memory, [&](at::Tensor& tensor, Leading leading) {
    if (leading == Leading::frames) tensor = join_frames(tensor, num_frames);
  });
  return memory;
}

LayerPrediction rejoined(const LayerPrediction& prediction, int64_t pieces) {
  if (pieces == 1) return prediction;
  LayerPrediction whole = prediction;
  whole.boxes = join_frames(prediction.boxes, pieces);
  whole.classes.logits = prediction.classes.scope == ClassScope::frame
                             ? join_frames(prediction.classes.logits, pieces)
                             : mean_of_pieces(prediction.classes.logits, pieces);
  whole.identity = mean_of_pieces(prediction.identity, pieces);
  if (prediction.masks) whole.masks = std::make_shared<RejoinedMasks>(prediction.masks, pieces);
  return whole;
}

LayerPrediction reordered(const LayerPrediction& prediction, const at::Tensor& rows) {
  if (rows.numel() > 0 && rows.min().item<int64_t>() < 0)
    throw RuntimeError("rows of an earlier stage: expected a row for each query, got a negative.");
  const auto chosen = [&rows](const at::Tensor& x, int64_t query_axis) {
    if (!x.defined()) return x;
    std::vector<int64_t> index_shape(static_cast<size_t>(x.dim()), 1), sizes = x.sizes().vec();
    index_shape[0] = rows.size(0);
    index_shape[static_cast<size_t>(query_axis)] = rows.size(1);
    sizes[static_cast<size_t>(query_axis)] = rows.size(1);
    return x.gather(query_axis, rows.view(index_shape).expand(sizes));
  };
  LayerPrediction other = prediction;
  other.classes.logits =
      chosen(prediction.classes.logits, prediction.classes.scope == ClassScope::frame ? 2 : 1);
  other.boxes = chosen(prediction.boxes, 2);
  other.identity = chosen(prediction.identity, 1);
  if (prediction.masks) other.masks = std::make_shared<ReorderedMasks>(prediction.masks, rows);
  return other;
}

LayerPrediction stacked(const LayerPrediction& prediction, int64_t num_frames) {
  LayerPrediction tall = prediction;
  tall.boxes = at::Tensor();
  if (prediction.classes.logits.defined() && prediction.classes.scope == ClassScope::frame)
    tall.classes.logits = prediction.classes.logits.mean(1, /*keepdim=*/true);
  if (prediction.masks) tall.masks = std::make_shared<StackedMasks>(prediction.masks, num_frames);
  return tall;
}

Targets stacked(const Targets& targets) {
  Targets tall = targets;
  for (ClipTargets& clip : tall) {
    clip.boxes = at::Tensor();
    clip.height = clip.masks.size(1) * clip.masks.size(2);
    clip.masks = clip.masks.flatten(1, 2).unsqueeze(1);
    clip.valid = clip.valid.any(1, /*keepdim=*/true);
  }
  return tall;
}

}  // namespace tessera
