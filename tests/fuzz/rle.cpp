// A mask as a results file states it: "<height> <width> <compressed counts>".

#include "launcher/data/rle.h"

#include <charconv>

#include "core/error.h"
#include "tests/fuzz/target.h"

namespace {

using namespace tessera;
using fuzz::expect;

constexpr int64_t kPixelsToDecode = 1 << 16;

int64_t take_number(std::string_view& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (!text.empty() && text[0] == ' ') text.remove_prefix(1);
  return error == std::errc() ? value : 0;
}

void check_mask(const data::Rle& rle) {
  data::check(rle);
  const uint64_t pixels = static_cast<uint64_t>(rle.height) * static_cast<uint64_t>(rle.width);
  const uint64_t area = data::area(rle);
  expect(area <= pixels, "a mask has at most height x width pixels");
  expect(data::intersection_area(rle, rle) == area, "a mask intersects itself in its area");
  expect(data::area(data::merge(rle, rle)) == area, "a mask merged with itself keeps its area");
  const data::Box box = data::bounding_box(rle);
  expect(box.x >= 0 && box.y >= 0 && box.x + box.width <= static_cast<double>(rle.width) &&
             box.y + box.height <= static_cast<double>(rle.height) &&
             static_cast<double>(area) <= box.width * box.height,
         "a box lies in the frame and holds the mask");
  expect(data::decode_counts(data::encode_counts(rle), rle.height, rle.width) == rle,
         "what is encoded decodes to the same");
  if (pixels > static_cast<uint64_t>(kPixelsToDecode)) return;
  const data::Rle again = data::from_mask(data::to_mask(rle), rle.height, rle.width);
  expect(data::area(again) == area && data::intersection_area(again, rle) == area,
         "pixels give the same mask again");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string_view text = fuzz::text_of(bytes, size);
  const int64_t height = take_number(text), width = take_number(text);
  try {
    check_mask(data::decode_counts(text, height, width));
  } catch (const DataError&) {
  }
  // The same bytes as the runs themselves, as uncompressed counts state them.
  data::Rle runs{height, width, {}};
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    runs.counts.push_back(static_cast<uint8_t>(text[i]) * uint32_t{256} +
                          static_cast<uint8_t>(text[i + 1]));
  try {
    check_mask(runs);
  } catch (const DataError&) {
  }
  return 0;
}
