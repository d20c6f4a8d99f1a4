#pragma once

#include <filesystem>

#include "launcher/data/ytvis.h"

namespace tessera::data {

/// Writes the masks of a data set as DAVIS and YouTube-VOS have them: a palette PNG for each frame,
/// `<folder>/Annotations/<video>/<frame>.png` with label 1.. for the objects of the video in their
/// order, 0 where there is none, and `<folder>/meta.json` with their categories.
/// Throws DataError for masks that overlap, which such a file cannot hold, for crowds, and for more
/// than 255 objects; RuntimeError where a file cannot be written.
void write_index_masks(const AnnotationFile& annotations, const std::filesystem::path& folder);

}  // namespace tessera::data
