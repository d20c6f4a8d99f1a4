#pragma once

#include <memory>
#include <opencv2/core.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/interfaces/build_context.h"
#include "core/structures/random.h"
#include "launcher/data/augmentation_plan.h"
#include "launcher/data/data_options.h"

namespace tessera::data {

/// The steps of `[data.augment]`, made once. Many threads may draw from one augmenter.
class Augmenter {
 public:
  /// Throws Error where a step cannot be made.
  Augmenter(const AugmentOptions& options, const ClipFacts& facts, const Resizing& resizing = {});

  /// The same without the photometric steps.
  Augmenter without_photometric() const;

  /// Draws the steps in order, then adds the last resize, for `num_frames` frames of `size`.
  /// Throws PluginError naming the step that failed.
  AugmentationPlan draw(cv::Size size, size_t num_frames, Random& random) const;

 private:
  struct Step {
    std::string name;
    double probability;
    std::shared_ptr<const Augmentation> part;
  };
  std::vector<Step> steps_;
  std::optional<int64_t> short_side_, max_side_;
  Resizing resizing_;
};

}  // namespace tessera::data
