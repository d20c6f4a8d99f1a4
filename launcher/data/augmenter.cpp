#include "launcher/data/augmenter.h"

#include "core/error.h"

namespace tessera::data {

Augmenter::Augmenter(const AugmentOptions& options, const ClipFacts& facts,
                     const Resizing& resizing)
    : short_side_(options.short_side), max_side_(options.max_side), resizing_(resizing) {
  BuildContext context;
  context.clip = facts;
  for (const AugmentStepOptions& step : options.steps) {
    PluginOf<Augmentation> choice;
    static_cast<PluginChoice&>(choice) = step;
    steps_.push_back({step.name, step.probability, context.make(choice)});
  }
}

Augmenter Augmenter::without_photometric() const {
  Augmenter copy = *this;
  std::erase_if(copy.steps_, [](const Step& step) { return step.part->is_photometric(); });
  return copy;
}

AugmentationPlan Augmenter::draw(cv::Size size, size_t num_frames, Random& random) const {
  AugmentationPlan plan(size, num_frames, resizing_);
  for (const Step& step : steps_) {
    if (!random.happens(step.probability)) continue;
    plan.set_step(step.name);
    try {
      step.part->plan(plan, random);
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      throw PluginError("data.augment: '" + step.name +
                        "': expected a plan for the clip, got an exception: " + error.what());
    }
  }
  if (short_side_) plan.resize(*short_side_, max_side_.value_or(0));
  return plan;
}

}  // namespace tessera::data
