#include "launcher/data/synth_shape.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "launcher/data/synth_scene.h"

namespace tessera::data {
namespace {

constexpr double kStarInnerRadius = 0.42;
constexpr double kCrossHalfWidth = 0.32;
constexpr double kSquareHalfSide = 0.8;

using Polygon = std::vector<cv::Point2d>;

/// Corners at equal angles whose radii go round the given ones.
Polygon radial(int corners, std::initializer_list<double> radii) {
  Polygon polygon;
  for (int i = 0; i < corners; ++i) {
    const double angle = 2 * std::numbers::pi * i / corners;
    const double radius = radii.begin()[static_cast<size_t>(i) % radii.size()];
    polygon.emplace_back(radius * std::cos(angle), radius * std::sin(angle));
  }
  return polygon;
}

bool is_inside(const Polygon& polygon, cv::Point2d p) {
  bool inside = false;
  for (size_t i = 0, j = polygon.size() - 1; i < polygon.size(); j = i++) {
    const cv::Point2d a = polygon[i];
    const cv::Point2d b = polygon[j];
    if ((a.y > p.y) != (b.y > p.y) && p.x < a.x + (b.x - a.x) * (p.y - a.y) / (b.y - a.y))
      inside = !inside;
  }
  return inside;
}

}  // namespace

const std::vector<std::string>& synth_shapes() {
  static const std::vector<std::string> names{"circle", "square", "triangle", "star", "cross"};
  return names;
}

bool is_inside_shape(int64_t shape, cv::Point2d point) {
  static const Polygon triangle = radial(3, {1.0});
  static const Polygon star = radial(10, {1.0, kStarInnerRadius});
  const double x = std::abs(point.x);
  const double y = std::abs(point.y);
  if (x > 1 || y > 1) return false;
  switch (shape) {
    case 0:
      return x * x + y * y < 1;
    case 1:
      return x < kSquareHalfSide && y < kSquareHalfSide;
    case 2:
      return is_inside(triangle, point);
    case 3:
      return is_inside(star, point);
    default:
      return x < kCrossHalfWidth || y < kCrossHalfWidth;
  }
}

cv::Point2d rotated(cv::Point2d point, double angle) {
  const double c = std::cos(angle);
  const double s = std::sin(angle);
  return {c * point.x - s * point.y, s * point.x + c * point.y};
}

}  // namespace tessera::data
