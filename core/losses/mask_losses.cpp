#include <ATen/ATen.h>

#include "core/losses/builtin_terms.h"
#include "core/losses/terms.h"
#include "core/plugin/plugin.h"

namespace tessera::losses {
namespace {

// A term over no masks is zero, but still of the graph, so that every rank does the same backward.
at::Tensor zero(const LossInput& input) {
  return input.prediction.classes.logits.sum() * 0.0;
}

/// What the terms say of where masks are compared, and of frames without the instance.
struct MaskTerm : Normalised {
  std::string absent_frames = "ignore";
  std::optional<PointSampling> points;
  std::optional<int64_t> stride;
  std::optional<int64_t> resized_stride;

  template <class Options>
  static void describe_mask_term(Schema<Options>& schema) {
    describe_normalised(schema);
    schema
        .field("absent_frames", &Options::absent_frames,
               "Frames of a clip without the instance: ignore them, or train an empty mask there.")
        .one_of({"ignore", "empty"});
    schema.field("points", &Options::points,
                 "Compare masks at sampled points instead of every pixel; terms with the same "
                 "numbers share the points.");
    schema
        .field("stride", &Options::stride,
               "Compare masks on the head's own cells of so many pixels, with the target at each "
               "cell's middle, instead of enlarging them (SeqFormer: 4).")
        .at_least(1);
    schema
        .field("resized_stride", &Options::resized_stride,
               "Compare masks on cells of so many pixels, to which logits and targets are both "
               "resized bilinearly (IFC: 4).")
        .at_least(1);
    schema.validate([](const Options& o) {
      if (o.points.has_value() + o.stride.has_value() + o.resized_stride.has_value() > 1)
        throw ConfigError(
            "stride: expected one of points, stride and resized_stride, got several.");
    });
  }
  const MatchedMasks& masks(const LossInput& input) const {
    if (resized_stride) return input.resized_masks(*resized_stride);
    return stride ? input.matched_cells(*stride) : input.matched_masks(points);
  }
  bool trains_absent_frames() const { return absent_frames == "empty"; }
};

/// Focal loss (Lin et al. 2017), mean over pixels, sum over the trained (instance, frame) pairs.
class MaskFocal final : public Loss {
 public:
  struct Options : MaskTerm {
    double alpha = 0.25;
    double gamma = 2.0;
    static void describe(Schema<Options>& schema) {
      describe_mask_term(schema);
      schema.field("alpha", &Options::alpha, "Weight of foreground pixels.").between(0, 1);
      schema.field("gamma", &Options::gamma, "Exponent that lessens easy pixels.").at_least(0);
    }
  };
  MaskFocal(const Options& options, const BuildContext&) : options_(options) {}
  at::Tensor forward(const LossInput& input) override {
    const MatchedMasks& masks = options_.masks(input);
    if (!masks.logits.defined()) return zero(input);
    const bool all = options_.trains_absent_frames();
    const at::Tensor logits = all ? masks.track_logits.flatten(0, 1) : masks.logits;
    const at::Tensor target = all ? masks.track_target.flatten(0, 1) : masks.target;
    const at::Tensor entropy =
        at::binary_cross_entropy_with_logits(logits, target, {}, {}, at::Reduction::None);
    const at::Tensor p = logits.sigmoid();
    const at::Tensor miss = p + target - 2 * p * target;  // 1 - p of the right side
    const at::Tensor alpha = (1 - options_.alpha) + (2 * options_.alpha - 1) * target;
    const at::Tensor loss = alpha * entropy * miss.pow(options_.gamma);
    return loss.flatten(1).mean(1).sum() / options_.divisor(input);
  }

 private:
  Options options_;
};

/// Binary cross entropy, mean over pixels or points, sum over the trained (instance, frame) pairs.
class MaskBce final : public Loss {
 public:
  struct Options : MaskTerm {
    static void describe(Schema<Options>& schema) { describe_mask_term(schema); }
  };
  MaskBce(const Options& options, const BuildContext&) : options_(options) {}
  at::Tensor forward(const LossInput& input) override {
    const MatchedMasks& masks = options_.masks(input);
    if (!masks.logits.defined()) return zero(input);
    const bool all = options_.trains_absent_frames();
    const at::Tensor entropy = at::binary_cross_entropy_with_logits(
        all ? masks.track_logits.flatten(0, 1) : masks.logits,
        all ? masks.track_target.flatten(0, 1) : masks.target, {}, {}, at::Reduction::None);
    return entropy.flatten(1).mean(1).sum() / options_.divisor(input);
  }

 private:
  Options options_;
};

/// Dice loss with +1 smoothing (DETR's): one term for each trained (instance, frame) pair, or one
/// for an instance's whole sequence.
class MaskDice final : public Loss {
 public:
  struct Options : MaskTerm {
    std::string over = "frame";
    static void describe(Schema<Options>& schema) {
      describe_mask_term(schema);
      schema
          .field("over", &Options::over,
                 "Pixels of one overlap: those of a frame, or of all frames of the clip.")
          .one_of({"frame", "sequence"});
    }
  };
  MaskDice(const Options& options, const BuildContext&) : options_(options) {}
  at::Tensor forward(const LossInput& input) override {
    const MatchedMasks& masks = options_.masks(input);
    if (!masks.logits.defined()) return zero(input);
    const bool all = options_.trains_absent_frames();
    at::Tensor p, t;
    if (options_.over == "sequence") {
      p = masks.track_logits.sigmoid();
      t = masks.track_target;
      // Dimensions after [R,T]: H, W, or P.
      if (!all) p = p.flatten(2) * masks.valid.unsqueeze(-1);
    } else {
      p = (all ? masks.track_logits.flatten(0, 1) : masks.logits).sigmoid();
      t = all ? masks.track_target.flatten(0, 1) : masks.target;
    }
    p = p.flatten(1);
    t = t.flatten(1);
    const at::Tensor dice = (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1);
    return (1 - dice).sum() / options_.divisor(input);
  }

 private:
  Options options_;
};

}  // namespace

const PluginDescriptor& mask_focal() {
  static constexpr PluginDescriptor kDescriptor =
      make_descriptor<Loss, MaskFocal>("mask_focal", "Focal loss of matched masks");
  return kDescriptor;
}

const PluginDescriptor& mask_bce() {
  static constexpr PluginDescriptor kDescriptor =
      make_descriptor<Loss, MaskBce>("mask_bce", "Binary cross entropy of matched masks");
  return kDescriptor;
}

const PluginDescriptor& mask_dice() {
  static constexpr PluginDescriptor kDescriptor =
      make_descriptor<Loss, MaskDice>("mask_dice", "Dice loss of matched masks");
  return kDescriptor;
}

}  // namespace tessera::losses
