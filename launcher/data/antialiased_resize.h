#pragma once

#include <opencv2/core.hpp>

namespace tessera::data {

/// Bilinear over all pixels that a pixel of the result covers: the weights fall linearly from its
/// centre to zero at one pixel of the larger grid. The rows are resized first, then the columns;
/// both results are rounded to whole levels. Equal to Pillow's `Image.resize(size, BILINEAR)` to
/// one level. The authors' codes resize with it, by way of torchvision or detectron2.
///
/// The work is LibTorch's `_upsample_bilinear2d_aa`, whose results are the same with and without
/// vector instructions.
/// in: CV_8UC3. out: CV_8UC3 of `size`. Throws ShapeError for other matrices.
cv::Mat resize_antialiased(const cv::Mat& frame, cv::Size size);

}  // namespace tessera::data
