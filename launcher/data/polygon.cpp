#include "launcher/data/polygon.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>

#include "core/error.h"

namespace tessera::data {
namespace {

// The COCO rule: walk the boundary on a lattice five times as fine. Pixel column n is cut along its
// middle, between the lattice columns 5n+2 and 5n+3; each cut toggles the fill from a row down.
constexpr int kScale = 5;
constexpr int kMiddle = 2;

struct LatticePoint {
  int x = 0;
  int y = 0;
};

// Truncation toward zero, also for negative values, is part of the rule.
int to_lattice(double value) {
  return static_cast<int>(value + .5);
}

/// Collects the positions (column-major pixel index) at which the fill toggles.
class BoundaryWalk {
 public:
  BoundaryWalk(int64_t height, int64_t width) : height_(height), width_(width) {}

  /// Visits each lattice point from `from` to `to`, one step on the longer axis at a time.
  void edge(LatticePoint from, LatticePoint to) {
    const int dx = std::abs(to.x - from.x);
    const int dy = std::abs(to.y - from.y);
    const bool along_x = dx >= dy;
    const int num_steps = along_x ? dx : dy;
    // Points are computed from the low end in both directions, so that neighbours that share an
    // edge agree on it.
    const bool backward = along_x ? from.x > to.x : from.y > to.y;
    const LatticePoint low = backward ? to : from;
    const LatticePoint high = backward ? from : to;
    const int rise = along_x ? high.y - low.y : high.x - low.x;
    const double slope = num_steps == 0 ? 0. : static_cast<double>(rise) / num_steps;
    for (int i = 0; i <= num_steps; ++i) {
      const int step = backward ? num_steps - i : i;
      const double offset = slope * step;
      visit(along_x ? LatticePoint{low.x + step, to_lattice(low.y + offset)}
                    : LatticePoint{to_lattice(low.x + offset), low.y + step});
    }
  }

  std::vector<int64_t> take_toggles() { return std::move(toggles_); }

 private:
  void visit(LatticePoint point) {
    if (started_ && point.x != last_.x) cross(last_, point);
    started_ = true;
    last_ = point;
  }

  void cross(LatticePoint a, LatticePoint b) {
    const int left = b.x < a.x ? b.x : b.x - 1;
    if (left < kMiddle || left % kScale != kMiddle) return;
    const int64_t column = left / kScale;
    if (column >= width_) return;
    const int64_t y = std::max(0, std::min(a.y, b.y));
    const int64_t row = std::min(height_, (y + kScale - 1 - kMiddle) / kScale);
    const int64_t position = column * height_ + row;
    if (position < height_ * width_) toggles_.push_back(position);
  }

  int64_t height_;
  int64_t width_;
  std::vector<int64_t> toggles_;
  LatticePoint last_;
  bool started_ = false;
};

void check_polygon(std::span<const double> xy) {
  if (xy.size() < 6 || xy.size() % 2 != 0) {
    throw DataError("expected a polygon of at least 3 points (6 numbers x, y, x, y, ..), got " +
                    std::to_string(xy.size()) + " numbers.");
  }
  for (size_t i = 0; i < xy.size(); ++i) {
    if (std::isfinite(xy[i]) && std::abs(xy[i]) <= kMaxPolygonCoordinate) continue;
    throw DataError("expected polygon coordinates from -100000 to 100000 px, got " +
                    std::to_string(xy[i]) + " at number " + std::to_string(i) + ".");
  }
}

double outline_of(std::span<const double> xy) {
  double outline = 0;
  for (size_t i = 0; i + 1 < xy.size(); i += 2) {
    const size_t next = (i + 2) % xy.size();
    outline += std::max(std::abs(xy[next] - xy[i]), std::abs(xy[next + 1] - xy[i + 1]));
  }
  return outline;
}

void check_outline(double pixels) {
  if (pixels <= kMaxOutlinePixels) return;
  throw DataError("expected polygons with an outline of at most 4 million px together, got " +
                  std::to_string(pixels) + ".");
}

}  // namespace

Rle rasterize_polygon(std::span<const double> xy, int64_t height, int64_t width) {
  check_mask_size(height, width);
  check_polygon(xy);
  check_outline(outline_of(xy));
  const auto point = [&](size_t i) {
    return LatticePoint{to_lattice(kScale * xy[2 * i]), to_lattice(kScale * xy[2 * i + 1])};
  };
  BoundaryWalk walk(height, width);
  const size_t num_points = xy.size() / 2;
  for (size_t i = 0; i < num_points; ++i) walk.edge(point(i), point((i + 1) % num_points));

  std::vector<int64_t> toggles = walk.take_toggles();
  std::sort(toggles.begin(), toggles.end());
  // Two toggles of one pixel cancel.
  std::vector<int64_t> flips;
  for (const int64_t toggle : toggles) {
    if (!flips.empty() && flips.back() == toggle) {
      flips.pop_back();
    } else {
      flips.push_back(toggle);
    }
  }
  Rle rle{height, width, {}};
  int64_t position = 0;
  for (const int64_t flip : flips) {
    rle.counts.push_back(static_cast<uint32_t>(flip - position));
    position = flip;
  }
  rle.counts.push_back(static_cast<uint32_t>(height * width - position));
  return rle;
}

Rle rasterize_polygons(const std::vector<std::vector<double>>& polygons, int64_t height,
                       int64_t width) {
  if (polygons.empty()) throw DataError("expected at least one polygon, got none.");
  double outline = 0;
  for (const auto& xy : polygons) {
    check_polygon(xy);
    outline += outline_of(xy);
  }
  check_outline(outline);
  std::vector<Rle> parts;
  for (const auto& xy : polygons) parts.push_back(rasterize_polygon(xy, height, width));
  // Neighbours first: one after the other, many small parts would go through the whole each time.
  for (size_t step = 1; step < parts.size(); step *= 2) {
    for (size_t i = 0; i + step < parts.size(); i += 2 * step) {
      parts[i] = merge(parts[i], parts[i + step]);
      parts[i + step] = {};
    }
  }
  return std::move(parts.front());
}

}  // namespace tessera::data
