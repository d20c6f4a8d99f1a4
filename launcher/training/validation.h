#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <vector>

#include "launcher/data/frame_source.h"
#include "launcher/data/ytvis.h"
#include "launcher/distributed/communicator.h"
#include "launcher/evaluation/score.h"
#include "launcher/experiment.h"

namespace tessera {

/// Scores a model on `[data.validation]` while it is trained.
class Validation {
 public:
  /// Reads the annotations and opens the videos. Throws ConfigError where the experiment names no
  /// validation split, DataError where that cannot be read.
  explicit Validation(const Experiment& experiment);

  const data::AnnotationFile& ground_truth() const { return ground_truth_; }
  const std::vector<data::InferenceVideo>& videos() const { return videos_; }

  /// The 12 YouTube-VIS numbers, AP first. Leaves the model in evaluation mode. Ranks share the
  /// videos (null: one process) and all get the numbers. `on_video` is called before each.
  std::vector<evaluation::Stat> run(VisModel& model, at::Device device,
                                    const Communicator* communicator = nullptr,
                                    const std::function<void()>& on_video = {}) const;

 private:
  const Experiment& experiment_;
  data::AnnotationFile ground_truth_;
  std::vector<int64_t> category_ids_;  // of the classes 0..
  std::vector<data::InferenceVideo> videos_;
};

}  // namespace tessera
