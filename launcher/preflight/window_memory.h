#pragma once

#include <cstdint>

#include "launcher/experiment.h"
#include "launcher/model/noise_clip.h"
#include "launcher/model/vis_model.h"

namespace tessera::preflight {

/// Bytes of main memory that a process takes which shows the model a whole video as one window
/// (`inference.window = "all"`): estimated from two short videos of small frames, whose memory
/// beyond the model grows with the pixels and the frames. in: `video`, frames and the size of the
/// files. Throws RuntimeError if the system does not state the memory that is used.
int64_t estimate_window_memory(VisModel& model, const Experiment& experiment,
                               const ClipSize& video);

}  // namespace tessera::preflight
