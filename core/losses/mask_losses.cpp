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

/// Focal loss (Lin et al. 2017), mean over pixels, sum over the trained (instance, frame) pairs.
class MaskFocal final : public Loss {
 public:
  struct Options : Normalised {
    double alpha = 0.25;
    double gamma = 2.0;
    static void describe(Schema<Options>& schema) {
      describe_normalised(schema);
      schema.field("alpha", &Options::alpha, "Weight of foreground pixels.").between(0, 1);
      schema.field("gamma", &Options::gamma, "Exponent that lessens easy pixels.").at_least(0);
    }
  };
  MaskFocal(const Options& options, const BuildContext&) : options_(options) {}
  at::Tensor forward(const LossInput& input) override {
    const MatchedMasks& masks = input.matched_masks();
    if (!masks.logits.defined()) return zero(input);
    const at::Tensor entropy = at::binary_cross_entropy_with_logits(masks.logits, masks.target, {},
                                                                    {}, at::Reduction::None);
    const at::Tensor p = masks.logits.sigmoid();
    const at::Tensor miss = p + masks.target - 2 * p * masks.target;  // 1 - p of the right side
    const at::Tensor alpha = (1 - options_.alpha) + (2 * options_.alpha - 1) * masks.target;
    const at::Tensor loss = alpha * entropy * miss.pow(options_.gamma);
    return loss.flatten(1).mean(1).sum() / options_.divisor(input);
  }

 private:
  Options options_;
};

/// Dice loss with +1 smoothing (DETR's), one term for each trained (instance, frame) pair.
class MaskDice final : public Loss {
 public:
  struct Options : Normalised {
    static void describe(Schema<Options>& schema) { describe_normalised(schema); }
  };
  MaskDice(const Options& options, const BuildContext&) : options_(options) {}
  at::Tensor forward(const LossInput& input) override {
    const MatchedMasks& masks = input.matched_masks();
    if (!masks.logits.defined()) return zero(input);
    const at::Tensor p = masks.logits.sigmoid().flatten(1), t = masks.target.flatten(1);
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

const PluginDescriptor& mask_dice() {
  static constexpr PluginDescriptor kDescriptor =
      make_descriptor<Loss, MaskDice>("mask_dice", "Dice loss of matched masks");
  return kDescriptor;
}

}  // namespace tessera::losses
