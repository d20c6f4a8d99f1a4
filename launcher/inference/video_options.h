#pragma once

#include <cstdint>

#include "launcher/data/data_options.h"
#include "launcher/data/resizing.h"
#include "launcher/inference/inference_options.h"

namespace tessera {

/// What inference on videos needs of an experiment; Experiment::video_options() makes it.
struct VideoOptions {
  InferenceOptions inference;
  data::Resizing resizing;
  NormaliseOptions normalise;
  int64_t num_categories = 1;
};

}  // namespace tessera
