#include <ATen/ATen.h>

#include "core/losses/builtin_terms.h"
#include "core/losses/terms.h"
#include "core/nn/boxes.h"
#include "core/plugin/plugin.h"

namespace tessera::losses {
namespace {

struct BoxTerm : Normalised {
  std::string absent_frames = "ignore";

  template <class Options>
  static void describe_box_term(Schema<Options>& schema) {
    describe_normalised(schema);
    schema
        .field("absent_frames", &Options::absent_frames,
               "Frames of a clip without the instance: ignore them, or train an empty box there "
               "(SeqFormer).")
        .one_of({"ignore", "empty"});
  }
};

/// The trained boxes of a layer beside their targets, [n,4] each.
std::pair<at::Tensor, at::Tensor> matched_boxes(const LossInput& input, const BoxTerm& term) {
  std::vector<at::Tensor> predicted, wanted;
  for (size_t clip = 0; clip < input.targets.size(); ++clip) {
    ClipMatch match = input.matches[clip];
    if (term.absent_frames == "empty") match.valid = at::ones_like(match.valid);
    const MatchedFrames at = matched_frames(match);
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
  struct Options : BoxTerm {
    static void describe(Schema<Options>& schema) { describe_box_term(schema); }
  };
  BoxL1(const Options& options, const BuildContext&) : options_(options) {}
  at::Tensor forward(const LossInput& input) override {
    const auto [predicted, wanted] = matched_boxes(input, options_);
    return (predicted - wanted).abs().sum() / options_.divisor(input);
  }

 private:
  Options options_;
};

/// Sum of 1 - generalised IoU.
class BoxGiou final : public Loss {
 public:
  struct Options : BoxTerm {
    double epsilon = 1e-6;
    static void describe(Schema<Options>& schema) {
      describe_box_term(schema);
      schema
          .field("epsilon", &Options::epsilon,
                 "Added to numerators and denominators of the ratios of areas.")
          .at_least(0);
    }
  };
  BoxGiou(const Options& options, const BuildContext&) : options_(options) {}
  at::Tensor forward(const LossInput& input) override {
    const auto [predicted, wanted] = matched_boxes(input, options_);
    const BoxOverlap overlap =
        box_overlap(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(wanted), options_.epsilon);
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
