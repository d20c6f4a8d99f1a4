#pragma once

#include <opencv2/core.hpp>
#include <string>

namespace tessera::visualisation {

/// A line of text in OpenCV's font, or, for characters beyond ASCII, which it has not, in fonts of
/// the machine (see data::draw_text_raster). `scale` is that of OpenCV's font.
class Text {
 public:
  /// in: text as UTF-8.
  Text(const std::string& text, double scale);

  cv::Size size() const { return size_; }  // above the baseline, pixels
  int below() const { return below_; }     // rows below the baseline

  /// in: image CV_8UC3; start, the left end of the baseline. What lies beyond the image is cut off.
  void draw(cv::Mat& image, cv::Point start, const cv::Scalar& colour) const;

 private:
  std::string text_;
  double scale_;
  cv::Mat coverage_;  // empty: OpenCV's font
  cv::Size size_;
  int below_ = 0;
};

}  // namespace tessera::visualisation
