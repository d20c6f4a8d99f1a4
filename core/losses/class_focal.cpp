#include <ATen/ATen.h>

#include "core/losses/builtin_terms.h"
#include "core/losses/terms.h"
#include "core/plugin/plugin.h"

namespace tessera::losses {
namespace {

/// Focal loss over every query and class with sigmoid activation (Lin et al. 2017; Deformable
/// DETR), sum over queries and classes.
class ClassFocal final : public Loss {
 public:
  struct Options : Normalised {
    double alpha = 0.25;
    double gamma = 2.0;
    Options() { normaliser = "instances"; }
    static void describe(Schema<Options>& schema) {
      describe_normalised(schema);
      schema.field("alpha", &Options::alpha, "Weight of an instance's own class.").between(0, 1);
      schema.field("gamma", &Options::gamma, "Exponent that lessens easy decisions.").at_least(0);
    }
  };
  ClassFocal(const Options& options, const BuildContext&) : options_(options) {}

  at::Tensor forward(const LossInput& input) override {
    const ClassLogits& classes = input.prediction.classes;
    if (classes.activation != ClassActivation::sigmoid)
      throw ConfigError(
          "loss class_focal: expected a head with activation = \"sigmoid\", got "
          "softmax_no_object. Use class_cross_entropy.");
    const at::Tensor wanted = targets_of(input);
    const at::Tensor entropy =
        at::binary_cross_entropy_with_logits(classes.logits, wanted, {}, {}, at::Reduction::None);
    const at::Tensor p = classes.logits.sigmoid();
    const at::Tensor miss = p + wanted - 2 * p * wanted;  // 1 - p of the right side
    const at::Tensor alpha = (1 - options_.alpha) + (2 * options_.alpha - 1) * wanted;
    return (alpha * entropy * miss.pow(options_.gamma)).sum() / options_.divisor(input);
  }

 private:
  // 1 for the class of a matched query, as the logits: [B,Q,K], or [B,T,Q,K] in frames where the
  // instance is there.
  static at::Tensor targets_of(const LossInput& input) {
    const ClassLogits& classes = input.prediction.classes;
    at::Tensor wanted = at::zeros_like(classes.logits);
    for (size_t clip = 0; clip < input.targets.size(); ++clip) {
      const ClipMatch& match = input.matches[clip];
      at::Tensor clip_wanted = wanted.select(0, static_cast<int64_t>(clip));
      const at::Tensor one = at::ones({}, wanted.options());
      auto class_of = [&](const at::Tensor& target) {
        return input.targets[clip].labels.index_select(0, target) + classes.label_offset;
      };
      if (classes.scope == ClassScope::clip) {
        clip_wanted.index_put_({match.prediction, class_of(match.target)}, one);
      } else {
        const MatchedFrames at = matched_frames(match);
        clip_wanted.index_put_({at.frame, at.prediction, class_of(at.target)}, one);
      }
    }
    return wanted;
  }

  Options options_;
};

}  // namespace

const PluginDescriptor& class_focal() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Loss, ClassFocal>(
      "class_focal", "Focal loss of sigmoid class logits over all queries");
  return kDescriptor;
}

}  // namespace tessera::losses
