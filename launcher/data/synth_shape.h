#pragma once

#include <cstdint>
#include <opencv2/core.hpp>

namespace tessera::data {

/// Whether a point lies in a shape of synth_shapes() of radius 1 around the origin.
bool is_inside_shape(int64_t shape, cv::Point2d point);

/// The point turned around the origin by that angle (radians).
cv::Point2d rotated(cv::Point2d point, double angle);

}  // namespace tessera::data
