#include "launcher/data/resizing.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <string>

#include "core/error.h"
#include "launcher/data/antialiased_resize.h"

namespace tessera::data {
namespace {

constexpr int kLargestReduction = 8;  // of what JPEG decoders offer

/// The sides of a frame in the order of their lengths.
struct Sides {
  int64_t shorter, longer;
};

Sides rounded_down(Sides from, int64_t short_side, int64_t max_side) {
  const auto shorter = static_cast<double>(from.shorter);
  const auto longer = static_cast<double>(from.longer);
  const auto limit = static_cast<double>(max_side);
  if (max_side > 0 && longer / shorter * static_cast<double>(short_side) > limit)
    short_side = std::llrint(limit * shorter / longer);  // ties to even
  short_side = std::max<int64_t>(1, short_side);
  return {short_side, short_side * from.longer / from.shorter};
}

/// The same order of products as in detectron2: another could round a tie to the other side.
Sides rounded_to_nearest(Sides from, int64_t short_side, int64_t max_side) {
  auto shorter = static_cast<double>(short_side);
  double longer = shorter / static_cast<double>(from.shorter) * static_cast<double>(from.longer);
  if (max_side > 0 && longer > static_cast<double>(max_side)) {
    const double scale = static_cast<double>(max_side) / longer;
    shorter *= scale;
    longer *= scale;
  }
  return {static_cast<int64_t>(shorter + 0.5), static_cast<int64_t>(longer + 0.5)};
}

}  // namespace

Resizing resizing_of(const DataOptions& options) {
  return {.antialiased = options.resize == "antialiased",
          .rounds_down = options.resize_rounding == "down"};
}

cv::Size resized_size(int64_t height, int64_t width, int64_t short_side, int64_t max_side,
                      const Resizing& resizing) {
  if (short_side < 1)
    throw RuntimeError("resize: expected a short side >= 1, got " + std::to_string(short_side) +
                       ".");
  const Sides from{std::min(height, width), std::max(height, width)};
  const Sides to = resizing.rounds_down ? rounded_down(from, short_side, max_side)
                                        : rounded_to_nearest(from, short_side, max_side);
  const int shorter = std::max(1, static_cast<int>(to.shorter));
  const int longer = std::max(1, static_cast<int>(to.longer));
  return height < width ? cv::Size(longer, shorter) : cv::Size(shorter, longer);
}

int block_reduction(cv::Size from, cv::Size to) {
  int reduction = 1;
  while (reduction < kLargestReduction && to.width <= from.width / (2 * reduction) &&
         to.height <= from.height / (2 * reduction)) {
    reduction *= 2;
  }
  return reduction;
}

cv::Mat with_float_levels(const cv::Mat& frame) {
  if (frame.depth() == CV_32F) return frame;
  cv::Mat levels;
  frame.convertTo(levels, CV_32F);
  return levels;
}

cv::Mat resize_frame(const cv::Mat& frame, cv::Size size, const Resizing& resizing) {
  if (frame.size() == size) return frame;
  if (resizing.antialiased) return resize_antialiased(frame, size);
  cv::Mat reduced = with_float_levels(frame);
  if (const int reduction = block_reduction(frame.size(), size); reduction > 1) {
    // Sides that do not divide are rounded up, as JPEG decoders do.
    const cv::Size blocks((frame.cols + reduction - 1) / reduction,
                          (frame.rows + reduction - 1) / reduction);
    cv::resize(cv::Mat(reduced), reduced, blocks, 0, 0, cv::INTER_AREA);
  }
  if (reduced.size() == size) return reduced;
  cv::Mat resized;
  cv::resize(reduced, resized, size, 0, 0, cv::INTER_LINEAR);
  return resized;
}

}  // namespace tessera::data
