#include "launcher/data/convert/thin_labels.h"

#include <algorithm>
#include <array>
#include <vector>

namespace tessera::data {
namespace {

/// Part of a label's pixels that have to be between others.
constexpr double kMostly = 0.8;

bool is_between(int32_t value, int32_t a, int32_t b, LabelImage::Coding coding) {
  if (a == b || value == a || value == b) return false;
  if (coding == LabelImage::Coding::kIndex) return std::min(a, b) < value && value < std::max(a, b);
  for (const int shift : {0, 8, 16}) {  // B, G, R
    const int32_t own = value >> shift & 255, one = a >> shift & 255, other = b >> shift & 255;
    if (own < std::min(one, other) || own > std::max(one, other)) return false;
  }
  return true;
}

std::string rect_text(const cv::Rect& rect) {
  return "x " + std::to_string(rect.x) + ".." + std::to_string(rect.br().x - 1) + ", y " +
         std::to_string(rect.y) + ".." + std::to_string(rect.br().y - 1);
}

}  // namespace

void ThinLabels::add(const LabelImage& image, const std::string& place) {
  static const std::array<cv::Point, 4> kDirections{{{1, 0}, {0, 1}, {1, 1}, {1, -1}}};
  const cv::Mat& labels = image.labels;
  const cv::Rect inside(cv::Point(), labels.size());
  for (int y = 0; y < labels.rows; ++y)
    for (int x = 0; x < labels.cols; ++x) {
      const int32_t value = labels.at<int32_t>(y, x);
      if (value == 0) continue;
      Seen& seen = seen_[value];
      ++seen.pixels;
      if (seen.place.empty()) seen.place = place;
      if (seen.place == place) seen.bounds |= cv::Rect(x, y, 1, 1);
      const cv::Point here(x, y);
      const bool between =
          std::any_of(kDirections.begin(), kDirections.end(), [&](const cv::Point& step) {
            const cv::Point a = here - step, b = here + step;
            return inside.contains(a) && inside.contains(b) &&
                   is_between(value, labels.at<int32_t>(a), labels.at<int32_t>(b), image.coding);
          });
      seen.between += between;
    }
}

std::string ThinLabels::fault() const {
  std::vector<int32_t> thin;
  for (const auto& [label, seen] : seen_)
    if (static_cast<double>(seen.between) >= kMostly * static_cast<double>(seen.pixels))
      thin.push_back(label);
  // An object of which little is to be seen may be thin, too.
  const bool is_smooth = thin.size() >= 2 || 3 * thin.size() >= seen_.size();
  if (thin.empty() || !is_smooth) return "";
  constexpr size_t kMostListed = 3;
  std::string list;
  for (size_t i = 0; i < std::min(thin.size(), kMostListed); ++i) {
    const Seen& seen = seen_.at(thin[i]);
    list += (i == 0 ? "" : "; ") + std::string("label ") + std::to_string(thin[i]) + " at " +
            rect_text(seen.bounds) + " of " + seen.place;
  }
  if (thin.size() > kMostListed) list += "; ..";
  return "expected a label for each object, got " + std::to_string(thin.size()) + " of " +
         std::to_string(seen_.size()) +
         " labels that are thin regions with values between those beside them, as smooth edges "
         "have them: " +
         list + ".";
}

}  // namespace tessera::data
