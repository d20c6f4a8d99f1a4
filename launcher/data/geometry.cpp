#include "launcher/data/geometry.h"

#include <algorithm>
#include <numeric>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace tessera::data {
namespace {

bool is_descending(const std::vector<int>& indices) {
  return indices.front() > indices.back();
}

/// [i]: how many of the ascending indices are below i, for i in 0..count.
std::vector<int> counts_below(const std::vector<int>& indices, int count) {
  std::vector<int> below(static_cast<size_t>(count) + 1, 0);
  for (const int index : indices) ++below[static_cast<size_t>(index) + 1];
  std::partial_sum(below.begin(), below.end(), below.begin());
  return below;
}

}  // namespace

std::vector<int> nearest_indices(int from, int to) {
  std::vector<int> indices(static_cast<size_t>(to));
  for (int i = 0; i < to; ++i) {
    // (i + 1/2) * from / to in whole numbers: exact, so that no rounding moves an edge.
    const int64_t index = (2 * static_cast<int64_t>(i) + 1) * from / (2 * static_cast<int64_t>(to));
    indices[static_cast<size_t>(i)] = static_cast<int>(index);
  }
  return indices;
}

cv::Mat take_pixels(const cv::Mat& mask, const std::vector<int>& rows,
                    const std::vector<int>& columns) {
  cv::Mat result(static_cast<int>(rows.size()), static_cast<int>(columns.size()), CV_8UC1);
  for (int y = 0; y < result.rows; ++y) {
    const uint8_t* from = mask.ptr<uint8_t>(rows[static_cast<size_t>(y)]);
    uint8_t* to = result.ptr<uint8_t>(y);
    for (int x = 0; x < result.cols; ++x) to[x] = from[columns[static_cast<size_t>(x)]];
  }
  return result;
}

cv::Mat take_pixels(const Rle& mask, const std::vector<int>& rows,
                    const std::vector<int>& columns) {
  const auto out_height = static_cast<int>(rows.size());
  const auto out_width = static_cast<int>(columns.size());
  const bool flip_y = is_descending(rows);
  const bool flip_x = is_descending(columns);
  const auto height = static_cast<int>(mask.height);
  std::vector<int> below(rows);
  if (flip_y) std::reverse(below.begin(), below.end());
  below = counts_below(below, height);

  // Runs go down the columns, and so does this: a column of the result is a row of `turned`.
  cv::Mat turned(out_width, out_height, CV_8UC1, cv::Scalar(0));
  size_t run = 1;  // the foreground run that ends behind the column's top, at start..end
  int64_t start = mask.counts.empty() ? 0 : mask.counts[0];
  int64_t end = mask.counts.size() < 2 ? start : start + mask.counts[1];
  for (int i = 0; i < out_width; ++i) {
    const int x = flip_x ? out_width - 1 - i : i;
    const int64_t top = static_cast<int64_t>(columns[static_cast<size_t>(x)]) * height;
    const auto next = [&] {
      start = end + mask.counts[run + 1];
      end = start + mask.counts[run + 2];
      run += 2;
    };
    while (end <= top && run + 2 < mask.counts.size()) next();
    // The same column may come again: the runs within it are walked over anew.
    const size_t first_run = run;
    const int64_t first_start = start;
    const int64_t first_end = end;
    while (start < top + height && end > top) {
      const int from = below[static_cast<size_t>(std::max<int64_t>(start - top, 0))];
      const int to = below[static_cast<size_t>(std::min<int64_t>(end - top, height))];
      if (to > from) {
        uint8_t* column = turned.ptr<uint8_t>(x) + (flip_y ? out_height - to : from);
        std::fill_n(column, to - from, uint8_t{1});
      }
      if (end >= top + height || run + 2 >= mask.counts.size()) break;
      next();
    }
    run = first_run;
    start = first_start;
    end = first_end;
  }
  cv::Mat result;
  cv::transpose(turned, result);
  return result;
}

}  // namespace tessera::data
