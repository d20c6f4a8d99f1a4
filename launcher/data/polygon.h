#pragma once

#include <span>
#include <vector>

#include "launcher/data/rle.h"

namespace tessera::data {

/// Coordinates beyond this (pixels, either sign) are refused: the boundary is walked step by step.
inline constexpr double kMaxPolygonCoordinate = 1e5;

/// Fills a polygon with the pixel rule of the COCO tools, so that stated areas agree to the pixel.
/// in: xy, pairs x, y in pixels, at least three points; the last joins the first.
/// Throws DataError for fewer points, an odd count, or coordinates that are not finite or huge.
Rle rasterize_polygon(std::span<const double> xy, int64_t height, int64_t width);

/// The union of polygons; an object in several parts is one list. Throws as rasterize_polygon,
/// and DataError for an empty list.
Rle rasterize_polygons(const std::vector<std::vector<double>>& polygons, int64_t height,
                       int64_t width);

}  // namespace tessera::data
