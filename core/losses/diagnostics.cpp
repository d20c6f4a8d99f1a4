#include <ATen/ATen.h>

#include "core/losses/builtin_terms.h"
#include "core/losses/terms.h"
#include "core/plugin/plugin.h"

namespace tessera::losses {
namespace {

struct Reported : LossTermOptions {
  Reported() { weight = 0.0; }
};

/// 100 - top-1 accuracy in percent over the trained (query, frame) pairs, over the matched queries
/// where a class is that of the whole clip; reported, not trained.
class ClassError final : public Loss {
 public:
  struct Options : Reported {
    static void describe(Schema<Options>& schema) { describe_term(schema); }
  };
  ClassError(const Options&, const BuildContext&) {}
  BatchSum batch_sum() const override { return BatchSum::matches; }
  at::Tensor forward(const LossInput& input) override {
    torch::NoGradGuard no_grad;
    const ClassLogits& classes = input.prediction.classes;
    const at::Tensor top = classes.logits.argmax(-1);
    int64_t right = 0, all = 0;
    for (size_t clip = 0; clip < input.targets.size(); ++clip) {
      const ClipMatch& match = input.matches[clip];
      const ClipTargets& target = input.targets[clip];
      const at::Tensor clip_top = top.select(0, static_cast<int64_t>(clip));
      const at::Tensor label = target.labels + classes.label_offset;
      at::Tensor said, wanted;
      if (classes.scope == ClassScope::frame) {
        const MatchedFrames at = matched_frames(match);
        said = clip_top.index({at.frame, at.prediction});
        wanted = target.valid.index({at.target, at.frame}) * label.index_select(0, at.target);
      } else {
        said = clip_top.index_select(0, match.prediction);
        wanted = label.index_select(0, match.target);
      }
      right += (said == wanted).sum().item<int64_t>();
      all += said.numel();
    }
    const bool per_frame = classes.scope == ClassScope::frame;
    const auto known = per_frame ? input.num_matched_frames : input.num_matched;
    const double of_batch =
        known ? *known
              : input.mean_over_batch(at::scalar_tensor(static_cast<double>(all), at::kDouble))
                    .item<double>();
    const double error =
        of_batch == 0 ? 100.0 : 100.0 - 100.0 * static_cast<double>(right) / of_batch;
    return at::scalar_tensor(error, classes.logits.options());
  }
};

/// |queries that are some object - (instance, frame) targets|, mean over clips; reported, not
/// trained.
class CardinalityError final : public Loss {
 public:
  struct Options : Reported {
    bool reference_last_class = false;
    static void describe(Schema<Options>& schema) {
      describe_term(schema);
      schema.field("reference_last_class", &Options::reference_last_class,
                   "Reference's fault, for parity only: with sigmoid classes take the last one for "
                   "no-object.");
    }
  };
  CardinalityError(const Options& options, const BuildContext&) : options_(options) {}
  at::Tensor forward(const LossInput& input) override {
    torch::NoGradGuard no_grad;
    const ClassLogits& classes = input.prediction.classes;
    const bool has_no_object = classes.activation == ClassActivation::softmax_no_object;
    if (!has_no_object && !options_.reference_last_class)
      throw ConfigError(
          "loss cardinality_error: expected a head with a no-object class, got sigmoid.");
    const at::Tensor objects =
        (classes.logits.argmax(-1) != classes.logits.size(-1) - 1).flatten(1).sum(1);
    double error = 0.0;
    for (size_t clip = 0; clip < input.targets.size(); ++clip) {
      const int64_t frames =
          classes.scope == ClassScope::frame ? input.targets[clip].valid.size(1) : 1;
      const int64_t wanted = input.targets[clip].num_instances() * frames;
      error += std::abs(objects[static_cast<int64_t>(clip)].item<double>() -
                        static_cast<double>(wanted));
    }
    return at::scalar_tensor(error / static_cast<double>(input.targets.size()),
                             classes.logits.options());
  }

 private:
  Options options_;
};

}  // namespace

const PluginDescriptor& class_error() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Loss, ClassError>(
      "class_error", "Percentage of matched queries with a wrong class (not trained)");
  return kDescriptor;
}

const PluginDescriptor& cardinality_error() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Loss, CardinalityError>(
      "cardinality_error",
      "Difference between predicted and true numbers of objects (not trained)");
  return kDescriptor;
}

}  // namespace tessera::losses
