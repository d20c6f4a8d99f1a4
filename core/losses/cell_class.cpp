#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>

#include "core/interfaces/feature_loss.h"
#include "core/losses/builtin_terms.h"
#include "core/losses/criterion.h"
#include "core/plugin/plugin.h"

namespace tessera::losses {
namespace {

/// Cross entropy of a linear layer on every cell of one memory level: the class of the instance at
/// the cell's centre pixel, or background. Teaches a backbone what is where before, or while, a
/// decoder learns to ask for it.
class CellClass final : public FeatureLoss {
 public:
  struct Options : FeatureLossOptions {
    double background_weight = 0.3;
    int64_t level = 0;
    static void describe(Schema<Options>& schema) {
      describe_term(schema);
      schema
          .field("background_weight", &Options::background_weight,
                 "Class weight of cells without an instance.")
          .at_least(0);
      schema.field("level", &Options::level, "Level of the memory, in the encoder's order.")
          .at_least(0);
    }
  };

  CellClass(const Options& options, const BuildContext& context)
      : options_(options),
        num_categories_(context.clip.num_categories),
        classifier_(register_module("classifier",
                                    torch::nn::Linear(context.memory.dim, num_categories_ + 1))) {
    const auto levels = static_cast<int64_t>(context.memory.strides.size());
    if (options.level >= levels)
      throw ConfigError("loss cell_class: level: expected one of the memory's " +
                        std::to_string(levels) + ", got " + std::to_string(options.level) + ".");
  }

  bool needs_batch_sum() const override { return true; }

  at::Tensor forward(const FeatureLossInput& input) override {
    const MemoryLevel& level = input.memory.levels.at(static_cast<size_t>(options_.level));
    const at::Tensor cells =
        input.memory.tokens.narrow(2, level.offset, level.height * level.width);  // [B,T,S,D]
    const at::Tensor logits = classifier_->forward(cells).flatten(0, 2);
    const at::Tensor wanted = labels_at_centres(input.targets, level).flatten();
    at::Tensor weight = at::where(wanted == num_categories_,
                                  at::scalar_tensor(options_.background_weight, logits.options()),
                                  at::scalar_tensor(1.0, logits.options()));
    if (input.memory.padding_mask.defined())
      weight = weight.masked_fill(
          input.memory.padding_mask.narrow(2, level.offset, level.height * level.width).flatten(),
          0.0);
    const at::Tensor picked = logits.log_softmax(-1).gather(1, wanted.unsqueeze(1)).squeeze(1);
    return -(picked * weight).sum() / input.mean_over_batch(weight.sum()).clamp_min(1e-6);
  }

 private:
  /// [B,T,S] int64, the number of categories where there is none. Masks of a clip lie apart, so a
  /// pixel has one instance.
  at::Tensor labels_at_centres(const Targets& targets, const MemoryLevel& level) const {
    std::vector<at::Tensor> labels;
    for (const ClipTargets& target : targets) {
      const auto options = target.labels.options();
      auto centres = [&](int64_t count, int64_t size) {
        return (at::arange(count, options) * level.stride + level.stride / 2).clamp_max(size - 1);
      };
      const at::Tensor y = centres(level.height, target.masks.size(2));
      const at::Tensor x = centres(level.width, target.masks.size(3));
      const at::Tensor at_centres = target.masks.index_select(2, y).index_select(3, x);
      at::Tensor label = at::full({at_centres.size(1), level.height, level.width}, num_categories_,
                                  options);  // [T,h,w]
      for (int64_t i = 0; i < target.num_instances(); ++i)
        label = at::where(at_centres[i], target.labels[i], label);
      labels.push_back(label.flatten(1));
    }
    return at::stack(labels);
  }

  Options options_;
  int64_t num_categories_;
  torch::nn::Linear classifier_;
};

}  // namespace

const PluginDescriptor& cell_class() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<FeatureLoss, CellClass>(
      "cell_class", "Cross entropy of the class at every cell of the memory");
  return kDescriptor;
}

}  // namespace tessera::losses
