// Matching of whole sequences (VisTR): a prediction's track against an instance's track, each cost
// a mean over the clip's frames, one assignment a clip. Masks are compared whole, or at random
// points that all pairs and frames of a clip share (Mask2Former-VIS).

#include <ATen/ATen.h>

#include "core/interfaces/matcher.h"
#include "core/matching/assignment.h"
#include "core/nn/boxes.h"
#include "core/nn/points.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::matcher::sequence {

struct Options {
  double class_weight = 1.0;
  double box_l1_weight = 5.0;
  double box_l2_weight = 0.0;
  double box_iou_weight = 0.0;
  double box_giou_weight = 0.0;
  double mask_bce_weight = 0.0;
  double mask_dice_weight = 0.0;
  double box_epsilon = 1e-6;
  std::optional<int64_t> num_points;
  std::optional<int64_t> resized_stride;
  std::string class_cost = "probability";
  std::string absent_frames = "ignore";
  int64_t label_when_absent = 0;
  bool reference_valid_flags = false;

  static void describe(Schema<Options>& schema) {
    schema.field("class_weight", &Options::class_weight, "Weight of the class cost.").at_least(0);
    schema
        .field("box_l1_weight", &Options::box_l1_weight,
               "Weight of |difference|, mean over frames and the four coordinates.")
        .at_least(0);
    schema
        .field("box_l2_weight", &Options::box_l2_weight,
               "Weight of the Euclidean distance of the sequences' coordinates, all frames "
               "together (SeqFormer).")
        .at_least(0);
    schema.field("box_iou_weight", &Options::box_iou_weight, "Weight of -IoU.").at_least(0);
    schema.field("box_giou_weight", &Options::box_giou_weight, "Weight of -generalised IoU.")
        .at_least(0);
    schema
        .field("box_epsilon", &Options::box_epsilon,
               "Added to numerators and denominators of the ratios of areas.")
        .at_least(0);
    schema
        .field("mask_bce_weight", &Options::mask_bce_weight,
               "Weight of the masks' binary cross entropy, mean over the whole sequence.")
        .at_least(0);
    schema
        .field("mask_dice_weight", &Options::mask_dice_weight,
               "Weight of 1 - dice of the whole sequence's masks.")
        .at_least(0);
    schema
        .field("num_points", &Options::num_points,
               "Compare masks at so many random points of a frame; without it everywhere, at the "
               "head's stride.")
        .at_least(1);
    schema
        .field("resized_stride", &Options::resized_stride,
               "Compare masks on cells of so many pixels, to which logits and targets are both "
               "resized bilinearly (IFC: 4).")
        .at_least(1);
    schema.validate([](const Options& o) {
      if (o.num_points && o.resized_stride)
        throw ConfigError(
            "resized_stride: expected one of num_points and resized_stride, got both.");
    });
    schema
        .field("class_cost", &Options::class_cost,
               "probability: -p(class); focal: Deformable-DETR's (alpha 0.25, gamma 2).")
        .one_of({"probability", "focal"});
    schema
        .field("absent_frames", &Options::absent_frames,
               "Frames without the instance: ignore them, or count them with a zero box (VisTR).")
        .one_of({"count", "ignore"});
    schema
        .field("label_when_absent", &Options::label_when_absent,
               "Class index that counted absent frames stand for, where classes are per frame.")
        .at_least(0);
    schema.field(
        "reference_valid_flags", &Options::reference_valid_flags,
        "Reference's fault, for parity only: pair j trains the frames of target j instead of "
        "those of the target assigned to it.");
  }
};

class Sequence final : public Matcher {
 public:
  using Options = sequence::Options;
  Sequence(const Options& options, const BuildContext&) : options_(options) {}

  bool matches_every_instance() const override { return true; }

  Matches match(int64_t layer, const LayerPrediction& prediction, const Targets& targets,
                const ForwardContext& context) override {
    torch::NoGradGuard no_grad;
    if (uses_boxes() && !prediction.boxes.defined())
      throw ConfigError(
          "loss.matcher: expected a head that predicts boxes, got one with with_boxes = false. Set "
          "box_l1_weight, box_l2_weight, box_iou_weight and box_giou_weight to 0.");
    Matches matches;
    for (size_t clip = 0; clip < targets.size(); ++clip)
      matches.push_back(
          match_clip(layer, static_cast<int64_t>(clip), prediction, targets[clip], context));
    return matches;
  }

 private:
  bool uses_boxes() const {
    return options_.box_l1_weight > 0 || options_.box_l2_weight > 0 ||
           options_.box_iou_weight > 0 || options_.box_giou_weight > 0;
  }

  ClipMatch match_clip(int64_t layer, int64_t clip, const LayerPrediction& prediction,
                       const ClipTargets& target, const ForwardContext& context) const {
    const at::Tensor& logits = prediction.classes.logits;  // [B,T,Q,C] or [B,Q,C]
    ShapeBinding sizes;
    expect_shape(target.valid, "[N,T]", "target valid", sizes);
    const int64_t queries = logits.size(-2), frames = sizes['T'], instances = sizes['N'];
    ClipMatch match;
    match.cost = at::zeros({queries, instances}, logits.options());
    if (instances > 0) {
      // [N,T] how much a frame counts in an instance's means
      at::Tensor share = target.valid.to(logits.dtype());
      if (options_.absent_frames == "count") share = at::ones_like(share);
      share = share / share.sum(1, true).clamp_min(1);
      match.cost +=
          options_.class_weight * class_cost(clip, prediction.classes, target, share, frames);
      if (uses_boxes()) {
        expect_shape(target.boxes, "[N,T,4]", "target boxes", sizes);
        const at::Tensor boxes = prediction.boxes.select(0, clip).transpose(0, 1);  // [Q,T,4]
        add_box_costs(match.cost, boxes, target.boxes.to(boxes.dtype()), share);
      }
      if (options_.mask_bce_weight > 0 || options_.mask_dice_weight > 0) {
        std::string use = "matcher." + std::to_string(layer);
        // A PointSource knows a clip by its place in the batch, a key is the clip's own.
        if (context.points) use += "." + std::to_string(clip);
        add_mask_costs(match.cost, masks_of(clip, prediction, target, queries, use, context));
      }
    }
    std::vector<int64_t> rows, columns;
    for (const auto& [row, column] : assign_minimum_cost(match.cost)) {
      rows.push_back(row);
      columns.push_back(column);
    }
    const auto options = logits.options().dtype(at::kLong);
    match.prediction = at::tensor(rows, options.device(at::kCPU)).to(options.device());
    match.target = at::tensor(columns, options.device(at::kCPU)).to(options.device());
    match.valid = options_.reference_valid_flags ? target.valid.narrow(0, 0, match.target.size(0))
                                                 : target.valid.index_select(0, match.target);
    return match;
  }

  // [Q,N]
  at::Tensor class_cost(int64_t clip, const ClassLogits& classes, const ClipTargets& target,
                        const at::Tensor& share, int64_t frames) const {
    at::Tensor score = classes.probabilities().select(0, clip);
    if (options_.class_cost == "focal") {
      constexpr double kAlpha = 0.25, kSmall = 1e-8;
      const at::Tensor miss = kAlpha * (1 - score).square() * -(score + kSmall).log();
      const at::Tensor false_alarm = (1 - kAlpha) * score.square() * -(1 - score + kSmall).log();
      score = false_alarm - miss;
    }
    if (classes.scope == ClassScope::clip)  // one class for all frames: no frame is asked
      return -score.index_select(1, target.labels + classes.label_offset);
    const at::Tensor label =
        at::where(target.valid, (target.labels + classes.label_offset).unsqueeze(1),
                  at::scalar_tensor(options_.label_when_absent, target.labels.options()));
    const at::Tensor frame = at::arange(frames, label.options()).expand_as(label);
    const at::Tensor picked = score.transpose(1, 2).index({frame, label});  // [N,T,Q]
    return -(picked * share.unsqueeze(-1)).sum(1).transpose(0, 1);
  }

  /// Masks of all queries and instances over the clip, null frames as empty masks.
  struct ComparedMasks {
    at::Tensor logits;  // [Q,T*n] of n cells or points a frame
    at::Tensor target;  // [N,T*n] 0..1
  };
  ComparedMasks masks_of(int64_t clip, const LayerPrediction& prediction, const ClipTargets& target,
                         int64_t queries, const std::string& use,
                         const ForwardContext& context) const {
    const at::Tensor rows = at::arange(queries, target.labels.options());
    if (!options_.num_points) {
      const at::Tensor said = prediction.masks->logits(clip, rows);  // [Q,T,h,w]
      if (options_.resized_stride) {
        const at::Tensor wanted =
            shrunk_masks(target.masks.to(said.dtype()), *options_.resized_stride);
        return {at::upsample_bilinear2d(said, {wanted.size(2), wanted.size(3)},
                                        /*align_corners=*/false)
                    .flatten(1),
                wanted.flatten(1)};
      }
      const at::Tensor wanted =
          at::adaptive_avg_pool2d(target.masks.to(said.dtype()), {said.size(2), said.size(3)});
      return {said.flatten(1), wanted.flatten(1)};
    }
    const int64_t frames = target.masks.size(1), instances = target.masks.size(0);
    const at::Tensor points = uniform_points(context, use, 1, *options_.num_points,
                                             prediction.classes.logits, target.random_key);
    const at::Tensor said = prediction.masks->logits_at(
        clip, rows, points.unsqueeze(0).expand({queries, frames, -1, -1}));
    // A frame of an instance is a channel here: all share the points.
    const at::Tensor wanted =
        sample_at(target.masks.flatten(0, 1).unsqueeze(0).to(said.dtype()), points);
    return {said.flatten(1), wanted.view({instances, -1})};
  }

  /// cost [Q,N].
  void add_mask_costs(at::Tensor& cost, const ComparedMasks& masks) const {
    if (options_.mask_bce_weight > 0) {
      // softplus(-x) y + softplus(x) (1 - y) = softplus(x) - x y
      const at::Tensor sum =
          at::softplus(masks.logits).sum(1, true) - at::matmul(masks.logits, masks.target.t());
      cost += options_.mask_bce_weight * sum / static_cast<double>(masks.logits.size(1));
    }
    if (options_.mask_dice_weight > 0) {
      const at::Tensor said = masks.logits.sigmoid();
      const at::Tensor overlap = 2 * at::matmul(said, masks.target.t()) + 1;
      cost += options_.mask_dice_weight *
              (1 - overlap / (said.sum(1, true) + masks.target.sum(1).unsqueeze(0) + 1));
    }
  }

  void add_box_costs(at::Tensor& cost, const at::Tensor& boxes, const at::Tensor& target,
                     const at::Tensor& share) const {
    const at::Tensor a = boxes.unsqueeze(1), b = target.unsqueeze(0);  // [Q,1,T,4], [1,N,T,4]
    if (options_.box_l1_weight > 0)
      cost += options_.box_l1_weight * ((a - b).abs().mean(-1) * share).sum(-1);
    if (options_.box_l2_weight > 0) {
      const at::Tensor squares = (a - b).square().sum(-1) * (share > 0).to(a.dtype());  // [Q,N,T]
      cost += options_.box_l2_weight * squares.sum(-1).sqrt();
    }
    if (options_.box_iou_weight == 0 && options_.box_giou_weight == 0) return;
    const BoxOverlap overlap =
        box_overlap(cxcywh_to_xyxy(a), cxcywh_to_xyxy(b), options_.box_epsilon);  // [Q,N,T]
    cost -= options_.box_iou_weight * (overlap.iou * share).sum(-1);
    cost -= options_.box_giou_weight * (overlap.giou * share).sum(-1);
  }

  Options options_;
};

}  // namespace tessera::matcher::sequence

TESSERA_PLUGIN(Matcher, tessera::matcher::sequence::Sequence, "sequence",
               "Hungarian matching of whole tracks, costs as means over frames (VisTR)")
