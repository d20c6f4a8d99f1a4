#include "launcher/data/rle.h"

#include <gtest/gtest.h>

#include <cmath>

#include "launcher/data/polygon.h"
#include "launcher/data/usual_counts.h"
#include "tests/evaluation/fixture.h"

namespace tessera::data {
namespace {

using test_support::box_rle;
using test_support::error_of;
using test_support::expect_parts;

// 3 rows, 4 columns; down the columns: 0 1 1 | 1 0 0 | 0 0 0 | 0 1 0.
const std::vector<uint8_t> kMask = {0, 1, 0, 0,  //
                                    1, 0, 0, 1,  //
                                    1, 0, 0, 0};
const std::vector<uint32_t> kRuns = {1, 3, 6, 1, 1};

std::vector<uint8_t> random_mask(std::mt19937& random, int64_t num_pixels, unsigned chance) {
  std::vector<uint8_t> mask(static_cast<size_t>(num_pixels));
  for (uint8_t& pixel : mask) pixel = random() % 100 < chance;
  return mask;
}

TEST(Rle, CountsDownTheColumnsStartingWithZeros) {
  const Rle rle = from_mask(kMask, 3, 4);
  EXPECT_EQ(rle.height, 3);
  EXPECT_EQ(rle.width, 4);
  EXPECT_EQ(rle.counts, kRuns);
  EXPECT_EQ(to_mask(rle), kMask);
  EXPECT_EQ(area(rle), 4u);
}

TEST(Rle, StartsWithAnEmptyRunWhenTheFirstPixelIsForeground) {
  EXPECT_EQ(from_mask(std::vector<uint8_t>{1, 0}, 1, 2).counts, (std::vector<uint32_t>{0, 1, 1}));
  EXPECT_EQ(from_mask(std::vector<uint8_t>{1, 1}, 1, 2).counts, (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(from_mask(std::vector<uint8_t>{0, 0}, 1, 2).counts, (std::vector<uint32_t>{2}));
}

// By hand: 1 -> '1', 3 -> '3', 6 -> '6', 1 - 3 = -2 -> 30 -> 'N', 1 - 6 = -5 -> 27 -> 'K'.
TEST(Rle, EncodesDifferencesFromTheFourthRunOn) {
  EXPECT_EQ(encode_counts({3, 4, kRuns}), "136NK");
  EXPECT_EQ(decode_counts("136NK", 3, 4).counts, kRuns);
}

// 16 alone would read as negative (its top bit is the sign): 16 | 32 (more follows) is '`', then 0.
// 32: no bits of the first five, 0 | 32 is 'P', then 1.
TEST(Rle, EncodesLargeRunsInSeveralCharacters) {
  EXPECT_EQ(encode_counts({4, 4, {16}}), "`0");
  EXPECT_EQ(encode_counts({4, 8, {32}}), "P1");
  EXPECT_EQ(decode_counts("`0", 4, 4).counts, (std::vector<uint32_t>{16}));
}

TEST(Rle, RoundTripsRandomMasks) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const int64_t height = 1 + random() % 40;
    const int64_t width = 1 + random() % 150;
    const auto mask = random_mask(random, height * width, random() % 101);
    const Rle rle = from_mask(mask, height, width);
    ASSERT_EQ(to_mask(rle), mask);
    ASSERT_EQ(decode_counts(encode_counts(rle), height, width), rle);
  }
}

TEST(Rle, RoundTripsTheLargestMask) {
  const auto run = static_cast<uint32_t>(kMaxMaskPixels - 2);
  const Rle rle{kMaxMaskPixels / 1024, 1024, {0, 1, run, 0, 0, 1}};
  EXPECT_EQ(decode_counts(encode_counts(rle), rle.height, rle.width), rle);
}

// Runs of one to four characters a number in every order, and every length of what is left over.
TEST(Rle, EightCharactersAtATimeEqualTheRunsThatWereEncoded) {
  std::mt19937 random(3);
  size_t usual = 0;
  for (int i = 0; i < 2000; ++i) {
    const int longest = i % 20;  // bits of a run
    Rle rle{1, 0, {}};
    for (unsigned n = 1 + random() % 40; n > 0; --n) {
      rle.counts.push_back(static_cast<uint32_t>(random() % (2u << (random() % (longest + 1)))));
      rle.width += rle.counts.back();
    }
    const std::string text = encode_counts(rle);
    std::vector<uint32_t> runs;
    if (decode_usual_counts(text, runs)) {
      ++usual;
      ASSERT_EQ(runs, rle.counts) << text;
    }
    if (rle.width == 0) continue;
    ASSERT_EQ(decode_counts(text, rle.height, rle.width).counts, rle.counts) << text;
  }
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") != 0) {
    EXPECT_GT(usual, 1000u);
  }
#endif
}

TEST(Rle, TheQuickWayLeavesWhatIsWrongToTheOther) {
  const std::string good = "0123456789:;<=>?";
  std::vector<uint32_t> runs;
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char bad : {'/', 'p', '\xb0', '\0'}) {
      std::string text = good;
      text[i] = bad;
      EXPECT_FALSE(decode_usual_counts(text, runs)) << i;
    }
  }
  EXPECT_FALSE(decode_usual_counts("", runs));
  EXPECT_FALSE(decode_usual_counts("P", runs));               // cut off
  EXPECT_FALSE(decode_usual_counts("0O0000000", runs));       // a negative run among eight
  EXPECT_FALSE(decode_usual_counts("00000PPPPPP000", runs));  // six characters of one number
}

TEST(Rle, AgreesWithPixelsOnAreaBoxIntersectionUnionAndDifference) {
  std::mt19937 random(2);
  for (int i = 0; i < 300; ++i) {
    const int64_t height = 1 + random() % 9;
    const int64_t width = 1 + random() % 9;
    const auto a = random_mask(random, height * width, random() % 101);
    const auto b = random_mask(random, height * width, random() % 101);
    uint64_t both = 0;
    std::vector<uint8_t> either(a.size()), only_a(a.size());
    int64_t left = width, top = height, right = -1, bottom = -1;
    for (size_t p = 0; p < a.size(); ++p) {
      both += a[p] & b[p];
      either[p] = a[p] | b[p];
      only_a[p] = a[p] & !b[p];
      if (a[p] == 0) continue;
      const auto x = static_cast<int64_t>(p) % width;
      const auto y = static_cast<int64_t>(p) / width;
      left = std::min(left, x), right = std::max(right, x);
      top = std::min(top, y), bottom = std::max(bottom, y);
    }
    const Rle rle_a = from_mask(a, height, width);
    const Rle rle_b = from_mask(b, height, width);
    ASSERT_EQ(area(rle_a), static_cast<uint64_t>(std::count(a.begin(), a.end(), 1)));
    ASSERT_EQ(intersection_area(rle_a, rle_b), both);
    ASSERT_EQ(merge(rle_a, rle_b), from_mask(either, height, width));
    ASSERT_EQ(subtract(rle_a, rle_b), from_mask(only_a, height, width));
    const Box expected = right < 0 ? Box{}
                                   : Box{double(left), double(top), double(right - left + 1),
                                         double(bottom - top + 1)};
    ASSERT_EQ(bounding_box(rle_a), expected);
  }
}

TEST(Rle, AllowsEmptyRunsInTheMiddle) {
  const Rle odd{1, 6, {2, 1, 0, 1, 0, 0, 2}};  // = zeros 2, ones 2, zeros 2
  const Rle plain{1, 6, {2, 2, 2}};
  EXPECT_EQ(to_mask(odd), to_mask(plain));
  EXPECT_EQ(intersection_area(odd, plain), 2u);
  EXPECT_EQ(merge(odd, plain), plain);
  EXPECT_EQ(bounding_box(odd), bounding_box(plain));
}

TEST(Rle, RefusesCountsThatDoNotFillTheMask) {
  expect_parts(error_of([] { decode_counts("136NK", 3, 5); }), {"15 (3 x 5", "got 12"});
  expect_parts(error_of([] { decode_counts("136NK", 3, 3); }),
               {"9 (3 x 3", "got more: 10 after run 2"});
  expect_parts(error_of([] { check({3, 4, {1, 3, 6}}); }), {"sum to 12", "got 10"});
  // 2^32 must not wrap to 0.
  expect_parts(error_of([] { check({1, 1, {0xFFFFFFFFu, 2}}); }), {"got 4294967297"});
}

TEST(Rle, RefusesEmptyCounts) {
  expect_parts(error_of([] { decode_counts("", 3, 4); }), {"at least one run", "empty string"});
  expect_parts(error_of([] { check({3, 4, {}}); }), {"at least one run"});
}

TEST(Rle, RefusesCharactersOutsideTheCode) {
  expect_parts(error_of([] { decode_counts("13/NK", 3, 4); }), {"'/'", "character 2"});
  expect_parts(error_of([] { decode_counts("13p", 3, 4); }), {"'p'", "character 2"});
  expect_parts(error_of([] { decode_counts(std::string("1\0", 2), 3, 4); }), {"code 0"});
  expect_parts(error_of([] { decode_counts("1\xc3\xa9", 3, 4); }), {"code 195"});
}

TEST(Rle, RefusesTruncatedAndOverlongNumbers) {
  expect_parts(error_of([] { decode_counts("1o", 3, 4); }), {"cut off after 2"});
  expect_parts(error_of([] { decode_counts(std::string(100, 'o'), 3, 4); }), {"at most 7"});
  expect_parts(error_of([] { decode_counts(std::string(100, 'P') + '0', 3, 4); }), {"at most 7"});
}

TEST(Rle, RefusesNegativeRuns) {
  expect_parts(error_of([] { decode_counts("O", 3, 4); }), {"run 0 of -1"});
  expect_parts(error_of([] { decode_counts("136J", 3, 4); }), {"run 3 of -3"});
}

TEST(Rle, RefusesBadSizes) {
  for (const auto& [height, width] : std::vector<std::pair<int64_t, int64_t>>{
           {0, 4}, {4, 0}, {-3, -4}, {int64_t{1} << 40, int64_t{1} << 40}, {1 << 15, 1 << 14}}) {
    expect_parts(error_of([&] { decode_counts("0", height, width); }),
                 {"height and width above 0", std::to_string(height) + " x"});
  }
  expect_parts(error_of([] { from_mask(std::vector<uint8_t>(5), 2, 3); }), {"6 bytes", "got 5"});
  expect_parts(
      error_of([] { intersection_area(box_rle(4, 5, 0, 0, 1, 1), box_rle(5, 4, 0, 0, 1, 1)); }),
      {"one size", "4 x 5 and 5 x 4"});
  expect_parts(error_of([] { merge(box_rle(4, 5, 0, 0, 1, 1), box_rle(5, 4, 0, 0, 1, 1)); }),
               {"one size"});
}

TEST(Rle, NeverCrashesOnRandomStrings) {
  std::mt19937 random(3);
  int num_valid = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text(random() % 12, '0');
    for (char& c : text)
      c = static_cast<char>(random() % 4 == 0 ? random() % 256 : '0' + random() % 16);
    try {
      const Rle rle = decode_counts(text, 5, 4);
      ++num_valid;
      EXPECT_EQ(from_mask(to_mask(rle), 5, 4).counts, merge(rle, rle).counts);
    } catch (const DataError&) {
    }
  }
  EXPECT_GT(num_valid, 50);  // else the test tries nothing but errors
}

// A rectangle on pixel edges covers exactly its pixels.
TEST(Polygon, FillsARectangleOnPixelEdges) {
  const std::vector<double> xy = {1, 0, 3, 0, 3, 3, 1, 3};
  EXPECT_EQ(rasterize_polygon(xy, 4, 5), box_rle(4, 5, 1, 0, 2, 3));
}

TEST(Polygon, DoesNotDependOnDirectionOrStart) {
  const std::vector<double> forward = {2.3, 1.1, 17.6, 4.2, 12.4, 15.9, 3.3, 11.7};
  const std::vector<double> backward = {3.3, 11.7, 12.4, 15.9, 17.6, 4.2, 2.3, 1.1};
  EXPECT_EQ(rasterize_polygon(forward, 20, 20), rasterize_polygon(backward, 20, 20));
}

// The halves of a square. Column x is cut at x + 0.5, where the diagonal is at row x + 0.5 too, the
// middle of a pixel. The cut counts from row x on, so the diagonal belongs to the lower half alone.
TEST(Polygon, GivesEachPixelToOneOfTwoNeighbours) {
  const std::vector<uint8_t> above = {0, 1, 1, 1,  //
                                      0, 0, 1, 1,  //
                                      0, 0, 0, 1,  //
                                      0, 0, 0, 0};
  const std::vector<uint8_t> below = {1, 0, 0, 0,  //
                                      1, 1, 0, 0,  //
                                      1, 1, 1, 0,  //
                                      1, 1, 1, 1};
  EXPECT_EQ(to_mask(rasterize_polygon(std::vector<double>{0, 0, 4, 0, 4, 4}, 4, 4)), above);
  EXPECT_EQ(to_mask(rasterize_polygon(std::vector<double>{0, 0, 0, 4, 4, 4}, 4, 4)), below);
}

TEST(Polygon, IsCutOffAtTheImage) {
  const std::vector<double> around = {-10, -10, 30, -10, 30, 30, -10, 30};
  EXPECT_EQ(area(rasterize_polygon(around, 4, 5)), 20u);
  const std::vector<double> outside = {10, 10, 20, 10, 20, 20};
  EXPECT_EQ(rasterize_polygon(outside, 4, 5).counts, (std::vector<uint32_t>{20}));
}

TEST(Polygon, UnitesParts) {
  const std::vector<std::vector<double>> parts = {{0, 0, 2, 0, 2, 2, 0, 2},
                                                  {1, 1, 4, 1, 4, 3, 1, 3}};
  EXPECT_EQ(area(rasterize_polygons(parts, 4, 5)), 4u + 6u - 1u);
}

TEST(Polygon, RefusesWhatIsNoPolygon) {
  const auto fill = [](const std::vector<double>& xy) { rasterize_polygon(xy, 4, 5); };
  expect_parts(error_of([&] { fill({0, 0, 1, 1}); }), {"3 points", "got 4 numbers"});
  expect_parts(error_of([&] { fill({0, 0, 1, 1, 2, 0, 3}); }), {"got 7 numbers"});
  expect_parts(error_of([&] { fill({0, 0, 1, 1, 2, 1e9}); }), {"100000", "number 5"});
  expect_parts(error_of([&] { fill({0, 0, 1, 1, 2, NAN}); }), {"nan at number 5"});
  expect_parts(error_of([&] { rasterize_polygons({}, 4, 5); }), {"at least one polygon"});
}

}  // namespace
}  // namespace tessera::data
