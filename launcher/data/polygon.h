#pragma once

#include <span>
#include <vector>

#include "launcher/data/rle.h"

namespace tessera::data {

/// Coordinates beyond this (pixels, either sign) are refused: the boundary is walked step by step.
inline constexpr double kMaxPolygonCoordinate = 1e5;

/// Longer outlines, of all polygons of an object in a frame, are refused for the same reason: a
/// short hostile file must not take minutes.
inline constexpr double kMaxOutlinePixels = 4e6;

/// Fills a polygon with the pixel rule of the COCO tools, so that stated areas agree to the pixel.
/// in: xy, pairs x, y in pixels, at least three points; the last joins the first.
/// Throws DataError for fewer points, an odd count, coordinates that are not finite or huge, or an
/// outline above kMaxOutlinePixels.
Rle rasterize_polygon(std::span<const double> xy, int64_t height, int64_t width);

/// The union of polygons; an object in several parts is one list. Throws as rasterize_polygon,
/// and DataError for an empty list.
Rle rasterize_polygons(const std::vector<std::vector<double>>& polygons, int64_t height,
                       int64_t width);

}  // namespace tessera::data
