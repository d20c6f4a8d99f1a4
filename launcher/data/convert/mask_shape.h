#pragma once

#include <cstdint>

#include "launcher/data/json_reader.h"
#include "launcher/data/rle.h"

namespace tessera::data {

/// A labelme shape of type "mask", as its assistants draw: 'mask' is a PNG as base64, 'points' are
/// the first and the last of its pixels (x, y). in: height and width of the frame, pixels.
/// out: the mask in the frame. Throws DataError if it is no PNG, of another size than its points
/// state, or not within the frame.
Rle read_mask_shape(const Json& shape, int64_t height, int64_t width);

}  // namespace tessera::data
