#include "launcher/visualisation/text.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "launcher/data/codecs.h"
#include "launcher/data/unicode.h"

namespace tessera::visualisation {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kSizeAtScaleOne = 30;  // of a font whose capitals are as high as OpenCV's, pixels
constexpr int kSmallestSize = 12;       // at which Chinese can be read, pixels

}  // namespace

Text::Text(const std::string& text, double scale) : text_(text), scale_(scale) {
  if (!data::is_ascii(text)) {
    const int size =
        std::max(kSmallestSize, static_cast<int>(std::lround(kSizeAtScaleOne * scale)));
    const data::TextRaster raster = data::codecs().draw_text(text, size);
    if (!raster.coverage.empty()) {
      coverage_ = raster.coverage;
      below_ = raster.below;
      size_ = {coverage_.cols, coverage_.rows - below_};
      return;
    }
    text_ = data::spell_in_ascii(text);
  }
  size_ = cv::getTextSize(text_, kFont, scale_, 1, &below_);
}

void Text::draw(cv::Mat& image, cv::Point start, const cv::Scalar& colour) const {
  if (coverage_.empty()) {
    cv::putText(image, text_, start, kFont, scale_, colour, 1, cv::LINE_AA);
    return;
  }
  const cv::Rect whole(start - cv::Point(0, size_.height), coverage_.size());
  const cv::Rect shown = whole & cv::Rect(cv::Point(), image.size());
  for (int y = shown.y; y < shown.br().y; ++y)
    for (int x = shown.x; x < shown.br().x; ++x) {
      const double part = coverage_.at<uint8_t>(y - whole.y, x - whole.x) / 255.;
      auto& pixel = image.at<cv::Vec3b>(y, x);
      for (int c = 0; c < 3; ++c)
        pixel[c] = cv::saturate_cast<uint8_t>(pixel[c] * (1 - part) + colour[c] * part);
    }
}

}  // namespace tessera::visualisation
