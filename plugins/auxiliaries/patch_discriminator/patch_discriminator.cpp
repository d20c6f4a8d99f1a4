// Discriminator of masks (MS-STS VIS, Thawakar et al. 2022), used in training only: tells the
// ground truth's masks from the model's, frame by frame, from the frame, the encoder's features of
// the three finest levels, and the union of the masks. Its own step sees everything detached; the
// model's step sees it frozen, and learns to pass for the ground truth.
// The network's structure is that of the published file, which nothing there calls. Choices that
// remain: binary cross entropy, mean over patches; the union is the largest probability; all frames
// of the clips that have an instance are shown. Keys: network.conv1, network.conv2,
// network.discriminator_blocks.<i>.

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "core/interfaces/auxiliary.h"
#include "core/nn/patch_discriminator.h"
#include "core/plugin/plugin.h"

namespace tessera::auxiliary::patch_discriminator {

struct Options {
  double adversarial_weight = 0.1;
  bool through_features = true;

  static void describe(Schema<Options>& schema) {
    schema
        .field("adversarial_weight", &Options::adversarial_weight,
               "Weight of the model's loss, which is low where its masks pass for real.")
        .at_least(0);
    schema.field("through_features", &Options::through_features,
                 "The model's loss also reaches the encoder through the features that are shown, "
                 "not only through the masks.");
  }
};

class Discriminator final : public Auxiliary {
 public:
  using Options = patch_discriminator::Options;

  Discriminator(const Options& options, const BuildContext& context)
      : options_(options), strides_(context.memory.strides) {
    std::sort(strides_.begin(), strides_.end());
    if (strides_.size() < kLevels || strides_[1] != 2 * strides_[0] ||
        strides_[2] != 2 * strides_[1])
      throw ConfigError(
          "patch_discriminator: expected an encoder with three levels, each of twice the stride of "
          "the one before, got " +
          std::to_string(strides_.size()) + " levels.");
    strides_.resize(kLevels);
    network_ = register_module("network", std::make_shared<PatchDiscriminator>(context.memory.dim));
  }

  std::vector<NamedLoss> model_losses(const AuxiliaryInput& input,
                                      const ForwardContext& context) override {
    const std::vector<int64_t> clips = judged_clips(input);
    if (clips.empty())
      return {{"adversarial", 0.0 * input.memory.tokens.sum(), options_.adversarial_weight}};
    const at::Tensor score = judge(input, clips, predicted_masks(input, clips),
                                   !options_.through_features, /*frozen=*/true, context);
    return {{"adversarial", share_of(input, clips) * cross_entropy(score, true),
             options_.adversarial_weight}};
  }

  std::vector<NamedLoss> own_losses(const AuxiliaryInput& input,
                                    const ForwardContext& context) override {
    const std::vector<int64_t> clips = judged_clips(input);
    if (clips.empty()) return {{"real", nothing(), 0.5}, {"fake", nothing(), 0.5}};
    const at::Tensor real =
        judge(input, clips, true_masks(input, clips), /*detached=*/true, false, context);
    const at::Tensor fake = judge(input, clips, predicted_masks(input, clips).detach(),
                                  /*detached=*/true, false, context);
    const double share = share_of(input, clips);
    return {{"real", share * cross_entropy(real, true), 0.5},
            {"fake", share * cross_entropy(fake, false), 0.5}};
  }

 private:
  static constexpr size_t kLevels = 3;

  static at::Tensor cross_entropy(const at::Tensor& score, bool is_real) {
    constexpr double kSmallest = 1e-7;
    return -(is_real ? score : 1.0 - score).clamp_min(kSmallest).log().mean();
  }

  /// Makes a mean over the judged clips of this piece a share of the mean over those of the whole
  /// batch.
  static double share_of(const AuxiliaryInput& input, const std::vector<int64_t>& clips) {
    return static_cast<double>(clips.size()) / input.counts.clips_with_instances;
  }

  /// Zero, but of the network's graph, so that every rank does the same backward.
  at::Tensor nothing() const {
    at::Tensor sum = at::zeros({});
    for (const at::Tensor& parameter : parameters())
      sum = sum.to(parameter.device()) + parameter.sum();
    return 0.0 * sum;
  }

  /// Clips with an instance: in others the true and the predicted union are both empty, and there
  /// is nothing to tell apart.
  static std::vector<int64_t> judged_clips(const AuxiliaryInput& input) {
    std::vector<int64_t> clips;
    for (size_t clip = 0; clip < input.matches.size(); ++clip)
      if (input.matches[clip].prediction.size(0) > 0) clips.push_back(static_cast<int64_t>(clip));
    return clips;
  }

  /// in: masks [C,T,h,w] in 0..1 at any size, of the judged clips. out: [C*T,1,..] probability of
  /// being real.
  at::Tensor judge(const AuxiliaryInput& input, const std::vector<int64_t>& clips,
                   const at::Tensor& masks, bool detached, bool frozen,
                   const ForwardContext& context) {
    const at::Tensor index = at::tensor(clips).to(masks.device());
    std::vector<at::Tensor> features;
    for (const int64_t stride : strides_) {
      const at::Tensor map = level_of(input.memory, stride).index_select(0, index).flatten(0, 1);
      features.push_back(detached ? map.detach() : map);
    }
    // "Area": each cell of the finest level is the mean of its pixels.
    auto shrunk = [&](const at::Tensor& x) {
      return at::adaptive_avg_pool2d(x, {features[0].size(2), features[0].size(3)});
    };
    return network_->forward(shrunk(input.batch.frames.index_select(0, index).flatten(0, 1)),
                             shrunk(masks.flatten(0, 1).unsqueeze(1)), features, frozen, context);
  }
  static at::Tensor level_of(const Memory& memory, int64_t stride) {
    for (size_t i = 0; i < memory.levels.size(); ++i)
      if (memory.levels[i].stride == stride) return memory.level_map(i);
    throw ShapeError("patch_discriminator: expected a level of stride " + std::to_string(stride) +
                     " in the memory, got none.");
  }

  /// [C,T,H,W].
  static at::Tensor true_masks(const AuxiliaryInput& input, const std::vector<int64_t>& clips) {
    std::vector<at::Tensor> unions;
    for (const int64_t clip : clips)
      unions.push_back(input.targets[static_cast<size_t>(clip)].masks.any(0));
    return at::stack(unions).to(input.batch.frames.scalar_type());
  }
  /// [C,T,h,w] of the matched predictions.
  static at::Tensor predicted_masks(const AuxiliaryInput& input,
                                    const std::vector<int64_t>& clips) {
    std::vector<at::Tensor> unions;
    for (const int64_t clip : clips)
      unions.push_back(input.predictions.last()
                           .masks->logits(clip, input.matches[static_cast<size_t>(clip)].prediction)
                           .sigmoid()
                           .amax(0));  // [T,h,w]
    return at::stack(unions);
  }

  Options options_;
  std::vector<int64_t> strides_;  // finest first
  std::shared_ptr<PatchDiscriminator> network_;
};

}  // namespace tessera::auxiliary::patch_discriminator

TESSERA_PLUGIN(Auxiliary, tessera::auxiliary::patch_discriminator::Discriminator,
               "patch_discriminator",
               "Tells true masks from predicted ones, frame by frame (MS-STS VIS)")
