#pragma once

#include <cstdint>
#include <filesystem>
#include <set>

#include "launcher/data/ytvis.h"

namespace tessera::data {

/// Reads a COCO file of instances: each image becomes a video of one frame with the image's id. The
/// file is parsed in parts, so that it never lies in memory as a whole; its keys may have any
/// order. in: categories, ids to read the annotations of; empty: all. Masks may be polygons or RLE.
/// Throws DataError that names file, image and annotation for anything that is not right.
AnnotationFile read_coco(const std::filesystem::path& file,
                         const std::set<int64_t>& categories = {});

}  // namespace tessera::data
