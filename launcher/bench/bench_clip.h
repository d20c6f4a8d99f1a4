#pragma once
// What a bench needs beside noise_clip().

#include <cstdint>

#include "launcher/data/frame_source.h"
#include "launcher/model/noise_clip.h"

namespace tessera::bench {

/// Noise as a video of uint8 frames.
data::InferenceVideo make_video(const ClipSize& size);

}  // namespace tessera::bench
