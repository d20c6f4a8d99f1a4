#pragma once

#include <opencv2/core.hpp>
#include <string_view>

namespace tessera::data {

/// in: the bytes of a JPEG file; reduction 1, 2, 4 or 8. out: CV_8UC3, RGB, as stored (no turning
/// by EXIF), each side divided by `reduction` and rounded up; empty where the colours are none that
/// libjpeg-turbo turns into RGB (CMYK, YCCK).
/// Damage that leaves pixels guessed is let pass, as in OpenCV. Throws DataError, without the
/// file's name, for bytes that are no JPEG.
cv::Mat decode_jpeg(std::string_view bytes, int reduction);

}  // namespace tessera::data
