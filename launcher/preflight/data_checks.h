#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "launcher/data/clip_dataset.h"
#include "launcher/data/frame_source.h"
#include "launcher/experiment.h"
#include "launcher/preflight/findings.h"

namespace tessera::preflight {

/// What the data checks could open.
struct OpenedData {
  std::unique_ptr<data::ClipDataset> train;
  std::optional<data::AnnotationFile> validation;
  std::vector<data::InferenceVideo> validation_videos;
};

/// Opens the training sets and the validation set as training does, and reports everything that is
/// wrong with them or between them: files, images, sizes, categories, videos shorter than a clip,
/// a validation set without ground truth.
OpenedData check_data(const Experiment& experiment, Findings& findings);

}  // namespace tessera::preflight
