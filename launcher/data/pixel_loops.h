#pragma once
// Loops over pixels that a compiler turns into vector instructions: compiled with -O3, without
// LibTorch's headers.

#include <array>
#include <cstdint>
#include <opencv2/core.hpp>
#include <optional>

namespace tessera::data {

/// What each channel's values are multiplied by, and what is then added.
struct ChannelScale {
  std::array<float, 3> factor;
  std::array<float, 3> offset;
};

/// Writes the three channels of a frame as planes [3,H,W] at `planes`. in: CV_8UC3 or CV_32FC3.
void write_planes(const cv::Mat& frame, const ChannelScale& scale, float* planes);

/// What a cast to an 8-bit integer makes of each level, those beyond its range too. CV_32FC3.
void wrap_levels(cv::Mat& frame);

/// The whole part of each level, as a cast to an 8-bit integer leaves it. in: CV_32FC3 in 0..255.
/// out: CV_8UC3.
cv::Mat cut_to_bytes(const cv::Mat& frame);

/// The foreground's rows and columns, ends not included.
struct PixelBounds {
  int left = 0, top = 0, right = 0, bottom = 0;
};

/// The bounds of a mask's foreground; nothing where it has fewer than `min_pixels` pixels, or none.
/// in: CV_8UC1, 0 or 1.
std::optional<PixelBounds> foreground_bounds(const cv::Mat& mask, int64_t min_pixels);

}  // namespace tessera::data
