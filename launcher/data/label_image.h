#pragma once

#include <filesystem>
#include <opencv2/core.hpp>

namespace tessera::data {

/// An image whose pixels say which object they belong to.
struct LabelImage {
  enum class Coding {
    kIndex,   // a palette's index or a level of grey
    kColour,  // 65536 R + 256 G + B
  };
  cv::Mat labels;  // CV_32SC1, 0 = background
  Coding coding = Coding::kIndex;
};

/// Reads a PNG of labels: with a palette (the indices count, not the colours), of grey levels with
/// 1 to 16 bits, or RGB (each colour is an object, black is background). Throws DataError naming
/// the file for other formats, which do not keep labels exactly, for transparent pixels and for
/// broken files.
LabelImage read_label_image(const std::filesystem::path& file);

/// Writes a PNG with the palette that DAVIS uses (and PASCAL VOC began). in: labels CV_8UC1.
/// Throws RuntimeError naming the file where it cannot be written.
void write_label_image(const std::filesystem::path& file, const cv::Mat& labels);

}  // namespace tessera::data
