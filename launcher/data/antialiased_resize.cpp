#include "launcher/data/antialiased_resize.h"

#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/from_blob.h>

#include <cstring>
#include <optional>

#include "core/error.h"

namespace tessera::data {

cv::Mat resize_antialiased(const cv::Mat& frame, cv::Size size) {
  if (frame.type() != CV_8UC3)
    throw ShapeError("resize: expected three channels of 8 bits, got OpenCV's type " +
                     std::to_string(frame.type()) +
                     ". Use data.resize = \"fast\" for other frames.");
  const cv::Mat whole = frame.isContinuous() ? frame : frame.clone();
  // [1,H,W,3] as [1,3,H,W]: the layout whose vector code needs no copy.
  const at::Tensor pixels =
      at::from_blob(whole.data, {1, whole.rows, whole.cols, 3}, at::kByte).permute({0, 3, 1, 2});
  const at::Tensor resized = at::_upsample_bilinear2d_aa(
      pixels, {size.height, size.width}, /*align_corners=*/false, std::nullopt, std::nullopt);
  const at::Tensor rows = resized.permute({0, 2, 3, 1}).contiguous();
  cv::Mat result(size, CV_8UC3);
  std::memcpy(result.data, rows.const_data_ptr<uint8_t>(), rows.nbytes());
  return result;
}

}  // namespace tessera::data
