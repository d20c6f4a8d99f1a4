#pragma once

#include "launcher/data/frame_source.h"
#include "launcher/model/noise_clip.h"

namespace tessera::preflight {

/// A video of noise, the same for the same size: what a model is tried with without a data set.
data::InferenceVideo noise_video(const ClipSize& size);

}  // namespace tessera::preflight
