#pragma once

#include <opencv2/core.hpp>
#include <string>

namespace tessera::data {

/// A line of text as pixels.
struct TextRaster {
  cv::Mat coverage;  // CV_8UC1, 0 to 255; empty: no font is installed
  int below = 0;     // rows below the baseline
};

/// Lays out and draws text of any script with the fonts that fontconfig finds. A character that no
/// font has is drawn as its number, "[U+4EBA]".
/// in: text as UTF-8; size of the font in pixels, above 0.
TextRaster draw_text_raster(const std::string& text, int size);

}  // namespace tessera::data
