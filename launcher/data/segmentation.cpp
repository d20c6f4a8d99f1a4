#include "launcher/data/segmentation.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "launcher/data/polygon.h"

namespace tessera::data {
namespace {

std::vector<uint32_t> read_count_list(const Json& list) {
  std::vector<uint32_t> counts;
  counts.reserve(list.size());
  for (const Json& value : list) {
    const int64_t count = as_integer(value, "'counts'");
    if (count < 0 || count > std::numeric_limits<uint32_t>::max()) {
      throw DataError("'counts': expected runs of 0 or more pixels, got " + describe(value) + ".");
    }
    counts.push_back(static_cast<uint32_t>(count));
  }
  return counts;
}

Rle read_rle(const Json& object, const SegmentationRules& rules) {
  const Json& size = as_list(value_of(object, "size"), "'size'");
  if (size.size() != 2) {
    throw DataError("'size': expected a list of height and width, got " + describe(size) + ".");
  }
  const int64_t height = as_integer(size[0], "'size'");
  const int64_t width = as_integer(size[1], "'size'");
  if (rules.require_size && (height != rules.height || width != rules.width)) {
    throw DataError("'size': expected " + std::to_string(rules.height) + " x " +
                    std::to_string(rules.width) + " (height x width of the video), got " +
                    std::to_string(height) + " x " + std::to_string(width) + ".");
  }
  const Json& counts = value_of(object, "counts");
  if (counts.is_string()) {
    return decode_counts(counts.get_ref<const std::string&>(), height, width);
  }
  if (!rules.allow_uncompressed) {
    throw DataError("'counts': expected a compressed RLE string, got " + describe(counts) + ".");
  }
  if (!counts.is_array()) {
    throw DataError("'counts': expected an RLE string or a list of numbers, got " +
                    describe(counts) + ".");
  }
  Rle rle{height, width, read_count_list(counts)};
  check(rle);
  return rle;
}

std::vector<std::vector<double>> read_polygons(const Json& list) {
  std::vector<std::vector<double>> polygons;
  for (const Json& entry : list) {
    std::vector<double> xy;
    for (const Json& value : as_list(entry, "polygon")) {
      xy.push_back(as_finite_number(value, "polygon"));
    }
    polygons.push_back(std::move(xy));
  }
  return polygons;
}

}  // namespace

bool is_empty_segmentation(const Json& value) {
  if (value.is_array())
    return std::all_of(value.begin(), value.end(),
                       [](const Json& part) { return part.is_array() && part.empty(); });
  return value.is_null() || (value.is_object() && value.empty());
}

std::optional<Rle> read_segmentation(const Json& value, const SegmentationRules& rules) {
  if (is_empty_segmentation(value)) return std::nullopt;
  if (value.is_object()) return read_rle(value, rules);
  if (value.is_array() && rules.allow_polygons) {
    return rasterize_polygons(read_polygons(value), rules.height, rules.width);
  }
  throw DataError(
      std::string("expected null") +
      (rules.allow_polygons ? ", an RLE object or a list of polygons" : " or an RLE object") +
      ", got " + describe(value) + ".");
}

}  // namespace tessera::data
