#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::data {

/// A binary mask as run lengths: column-major (down each column, then the next one), starting with
/// a run of zeros that may be empty. Valid if the runs sum to height * width; see `check`.
struct Rle {
  int64_t height = 0;  // pixels
  int64_t width = 0;   // pixels
  std::vector<uint32_t> counts;

  bool operator==(const Rle&) const = default;
};

/// An upright box in pixels; x and y are the left and top edge.
struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;

  bool operator==(const Box&) const = default;
};

/// Larger masks are refused: a short hostile file must not make us allocate gigabytes.
inline constexpr int64_t kMaxMaskPixels = int64_t{1} << 28;

/// Throws DataError unless both sides are positive and the mask is not above kMaxMaskPixels.
void check_mask_size(int64_t height, int64_t width);

/// Throws DataError if the size is out of bounds, the runs are empty, or they do not sum to
/// height * width.
void check(const Rle& rle);

/// Reads a COCO compressed string: five bits per character, from the fourth run on the difference
/// to the run two before. Throws DataError (without a file name: the caller knows it) for
/// characters outside '0'..'o', an unfinished or too long number, a negative run or a wrong sum.
Rle decode_counts(std::string_view counts, int64_t height, int64_t width);

/// The COCO compressed string of a valid mask.
std::string encode_counts(const Rle& rle);

/// in: mask [height, width] row-major, zero = background. Throws DataError if sizes disagree.
Rle from_mask(std::span<const uint8_t> mask, int64_t height, int64_t width);

/// out: [height, width] row-major, 0 or 1. Throws DataError if the mask is not valid.
std::vector<uint8_t> to_mask(const Rle& rle);

/// Foreground pixels of a valid mask.
uint64_t area(const Rle& rle);

/// The smallest box around the foreground in whole pixels; all zero if there is none.
Box bounding_box(const Rle& rle);

/// Pixels that are foreground in both valid masks, in one pass over the runs. Throws DataError if
/// the sizes differ.
uint64_t intersection_area(const Rle& a, const Rle& b);

/// Pixels that are foreground in either of two valid masks. Throws DataError if the sizes differ.
Rle merge(const Rle& a, const Rle& b);

/// Pixels that are foreground in a and not in b, both valid. Throws DataError if the sizes differ.
Rle subtract(const Rle& a, const Rle& b);

}  // namespace tessera::data
