#include <ATen/ATen.h>

#include "core/losses/builtin_terms.h"
#include "core/losses/terms.h"
#include "core/nn/boxes.h"
#include "core/plugin/plugin.h"

namespace tessera::losses {
namespace {

struct Options : Normalised {
  static void describe(Schema<Options>& schema) { describe_normalised(schema); }
};

/// The trained boxes of a layer beside their targets, [n,4] each.
std::pair<at::Tensor, at::Tensor> matched_boxes(const LossInput& input) {
  std::vector<at::Tensor> predicted, wanted;
  for (size_t clip = 0; clip < input.targets.size(); ++clip) {
    const MatchedFrames at = matched_frames(input.matches[clip]);
    predicted.push_back(input.prediction.boxes.select(0, static_cast<int64_t>(clip))
                            .index({at.frame, at.prediction}));
    wanted.push_back(
        input.targets[clip].boxes.index({at.target, at.frame}).to(input.prediction.boxes.dtype()));
  }
  return {at::cat(predicted), at::cat(wanted)};
}

/// Sum of |difference| over coordinates.
class BoxL1 final : public Loss {
 public:
  using Options = losses::Options;
  BoxL1(const Options& options, const BuildContext&) : options_(options) {}
  at::Tensor forward(const LossInput& input) override {
    const auto [predicted, wanted] = matched_boxes(input);
    return (predicted - wanted).abs().sum() / options_.divisor(input);
  }

 private:
  Options options_;
};

/// Sum of 1 - generalised IoU.
class BoxGiou final : public Loss {
 public:
  using Options = losses::Options;
  BoxGiou(const Options& options, const BuildContext&) : options_(options) {}
  at::Tensor forward(const LossInput& input) override {
    const auto [predicted, wanted] = matched_boxes(input);
    const BoxOverlap overlap = box_overlap(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(wanted));
    return (1 - overlap.giou).sum() / options_.divisor(input);
  }

 private:
  Options options_;
};

}  // namespace

const PluginDescriptor& box_l1() {
  static constexpr PluginDescriptor kDescriptor =
      make_descriptor<Loss, BoxL1>("box_l1", "L1 distance of matched boxes");
  return kDescriptor;
}

const PluginDescriptor& box_giou() {
  static constexpr PluginDescriptor kDescriptor =
      make_descriptor<Loss, BoxGiou>("box_giou", "1 - generalised IoU of matched boxes");
  return kDescriptor;
}

}  // namespace tessera::losses
