#include <ATen/ATen.h>

#include "core/losses/builtin_terms.h"
#include "core/losses/terms.h"
#include "core/plugin/plugin.h"

namespace tessera::losses {
namespace {

/// Cross entropy over every query, no-object where none is matched (DETR, Carion et al. 2020).
class ClassCrossEntropy final : public Loss {
 public:
  struct Options : LossTermOptions {
    double no_object_weight = 0.1;
    int64_t label_when_absent = 0;
    static void describe(Schema<Options>& schema) {
      describe_term(schema);
      schema.field("no_object_weight", &Options::no_object_weight, "Class weight of no-object.")
          .at_least(0);
      schema
          .field("label_when_absent", &Options::label_when_absent,
                 "Class index of a trained frame in which the instance is absent; arises only with "
                 "the "
                 "matcher's reference_valid_flags.")
          .at_least(0);
    }
  };
  ClassCrossEntropy(const Options& options, const BuildContext&) : options_(options) {}

  BatchSum batch_sum() const override { return BatchSum::matches; }

  at::Tensor forward(const LossInput& input) override {
    const ClassLogits& classes = input.prediction.classes;
    if (classes.activation != ClassActivation::softmax_no_object)
      throw ConfigError(
          "loss class_cross_entropy: expected a head with activation = "
          "\"softmax_no_object\", got sigmoid. Use class_focal.");
    const int64_t no_object = classes.num_classes();
    const auto label_options = classes.logits.options().dtype(at::kLong);
    // [B,T,Q] or [B,Q]
    at::Tensor label = at::full(classes.logits.sizes().slice(0, classes.logits.dim() - 1),
                                no_object, label_options);
    for (size_t clip = 0; clip < input.targets.size(); ++clip) {
      const ClipTargets& target = input.targets[clip];
      const ClipMatch& match = input.matches[clip];
      at::Tensor clip_label = label.select(0, static_cast<int64_t>(clip));
      if (classes.scope == ClassScope::frame) {
        const MatchedFrames at = matched_frames(match);
        const at::Tensor there = target.valid.index({at.target, at.frame});
        const at::Tensor wanted =
            at::where(there, target.labels.index_select(0, at.target) + classes.label_offset,
                      at::scalar_tensor(options_.label_when_absent, label_options));
        clip_label.index_put_({at.frame, at.prediction}, wanted);
      } else {
        clip_label.index_put_({match.prediction},
                              target.labels.index_select(0, match.target) + classes.label_offset);
      }
    }
    const at::Tensor log_probability = classes.logits.log_softmax(-1);
    const at::Tensor picked = log_probability.gather(-1, label.unsqueeze(-1)).squeeze(-1);
    const at::Tensor weight = at::where(
        label == no_object, at::scalar_tensor(options_.no_object_weight, picked.options()),
        at::scalar_tensor(1.0, picked.options()));
    return -(picked * weight).sum() / weight_sum(input, weight);
  }

 private:
  /// The class weights of all labels of the batch, mean over its pieces. in: `weight` of this
  /// piece.
  at::Tensor weight_sum(const LossInput& input, const at::Tensor& weight) const {
    const bool per_frame = input.prediction.classes.scope == ClassScope::frame;
    const auto matched = per_frame ? input.num_matched_frames : input.num_matched;
    if (!matched) return input.mean_over_batch(weight.sum());
    // The pieces have equal numbers of labels.
    const double others = static_cast<double>(weight.numel()) - *matched;
    return at::scalar_tensor(*matched + options_.no_object_weight * others, weight.options());
  }

  Options options_;
};

}  // namespace

const PluginDescriptor& class_cross_entropy() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Loss, ClassCrossEntropy>(
      "class_cross_entropy", "Cross entropy over all queries with a no-object class");
  return kDescriptor;
}

}  // namespace tessera::losses
