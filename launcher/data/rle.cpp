#include "launcher/data/rle.h"

#include <algorithm>
#include <limits>
#include <string>

#include "core/error.h"
#include "launcher/data/counts_format.h"
#include "launcher/data/usual_counts.h"

namespace tessera::data {
namespace {

std::string size_text(int64_t height, int64_t width) {
  return std::to_string(height) + " x " + std::to_string(width);
}

std::string character_text(char c) {
  if (c > ' ' && c <= '~') return std::string("'") + c + "'";
  return "character code " + std::to_string(static_cast<unsigned char>(c));
}

[[noreturn]] void fail_sum(const std::string& got, int64_t height, int64_t width) {
  throw DataError("expected runs that sum to " + std::to_string(height * width) + " (" +
                  size_text(height, width) + " pixels), got " + got +
                  ". The mask is cut off, or belongs to an image of another size.");
}

uint64_t sum_of(const Rle& rle) {
  uint64_t sum = 0;
  for (const uint32_t count : rle.counts) sum += count;
  return sum;
}

bool fills(const Rle& rle) {
  return sum_of(rle) == static_cast<uint64_t>(rle.height * rle.width);
}

/// Takes numbers off the front of a compressed string.
class CountsReader {
 public:
  explicit CountsReader(std::string_view text) : text_(text) {}

  bool done() const { return position_ == text_.size(); }

  int64_t next() {
    int64_t value = 0;
    for (int i = 0; i < kMaxCharactersPerRun; ++i) {
      if (done()) {
        throw DataError("expected 'counts' that ends with a whole number, got one cut off after " +
                        std::to_string(text_.size()) + " characters. The string was truncated.");
      }
      const char c = text_[position_];
      const int64_t code = static_cast<int64_t>(c) - kFirstCharacter;
      if (code < 0 || code >= kNumCharacters) {
        throw DataError("expected characters '0' to 'o' in 'counts', got " + character_text(c) +
                        " at character " + std::to_string(position_) +
                        ". This is not a COCO compressed RLE string.");
      }
      ++position_;
      value |= (code & kValueBits) << (kBitsPerCharacter * i);
      if ((code & kMoreFollows) == 0) {
        const bool negative = (code & kSignBit) != 0;
        return negative ? value - (int64_t{1} << (kBitsPerCharacter * (i + 1))) : value;
      }
    }
    throw DataError("expected runs of at most " + std::to_string(kMaxCharactersPerRun) +
                    " characters in 'counts', got a longer one that ends at character " +
                    std::to_string(position_) + ". This is not a COCO compressed RLE string.");
  }

 private:
  std::string_view text_;
  size_t position_ = 0;
};

void check_same_size(const Rle& a, const Rle& b) {
  if (a.height == b.height && a.width == b.width) return;
  throw DataError("expected two masks of one size, got " + size_text(a.height, a.width) + " and " +
                  size_text(b.height, b.width) + " (height x width).");
}

/// Appends runs and joins those of one value, so that zero-length runs leave no trace.
class RunBuilder {
 public:
  RunBuilder(int64_t height, int64_t width) { rle_ = {height, width, {0}}; }

  void add(bool foreground, uint32_t length) {
    if (length == 0) return;
    const bool last_is_foreground = rle_.counts.size() % 2 == 0;
    if (foreground == last_is_foreground) {
      rle_.counts.back() += length;
    } else {
      rle_.counts.push_back(length);
    }
  }

  Rle take() { return std::move(rle_); }

 private:
  Rle rle_;
};

/// Walks over the foreground runs of a mask.
class ForegroundRuns {
 public:
  explicit ForegroundRuns(const Rle& rle)
      : at_(rle.counts.data()), stop_(at_ + rle.counts.size() / 2 * 2) {
    if (!done()) enter();
  }

  bool done() const { return at_ == stop_; }
  uint64_t start() const { return start_; }
  uint64_t end() const { return end_; }
  void next() {
    at_ += 2;
    if (!done()) enter();
  }

 private:
  void enter() {
    start_ = end_ + at_[0];
    end_ = start_ + at_[1];
  }

  const uint32_t* at_;
  const uint32_t* stop_;  // behind the last pair of a background and a foreground run
  uint64_t start_ = 0;
  uint64_t end_ = 0;
};

/// Calls visit(in_a, in_b, length) for each stretch on which both masks are constant.
template <typename Visit>
void sweep(const Rle& a, const Rle& b, Visit&& visit) {
  if (a.counts.empty() || b.counts.empty()) return;
  size_t i = 0;
  size_t j = 0;
  uint64_t a_end = a.counts[0];
  uint64_t b_end = b.counts[0];
  uint64_t position = 0;
  while (true) {
    const uint64_t end = std::min(a_end, b_end);
    visit((i & 1) != 0, (j & 1) != 0, end - position);
    position = end;
    // Both sums are height * width: what is left when one mask ends is empty.
    const bool a_ends = a_end == end;
    const bool b_ends = b_end == end;
    if (a_ends) {
      if (++i == a.counts.size()) return;
      a_end += a.counts[i];
    }
    if (b_ends) {
      if (++j == b.counts.size()) return;
      b_end += b.counts[j];
    }
  }
}

}  // namespace

void check_mask_size(int64_t height, int64_t width) {
  if (height > 0 && width > 0 && height <= kMaxMaskPixels / width) return;
  throw DataError("expected a height and width above 0 and at most " +
                  std::to_string(kMaxMaskPixels) + " pixels, got " + size_text(height, width) +
                  " (height x width).");
}

void check(const Rle& rle) {
  check_mask_size(rle.height, rle.width);
  if (rle.counts.empty()) {
    throw DataError(
        "expected at least one run in 'counts', got none. Write null where a frame has "
        "no mask.");
  }
  if (!fills(rle)) fail_sum(std::to_string(sum_of(rle)), rle.height, rle.width);
}

Rle decode_counts(std::string_view counts, int64_t height, int64_t width) {
  check_mask_size(height, width);
  if (counts.empty()) {
    throw DataError(
        "expected at least one run in 'counts', got an empty string. Write null where "
        "a frame has no mask.");
  }
  Rle rle{height, width, {}};
  if (decode_usual_counts(counts, rle.counts) && fills(rle)) return rle;
  rle.counts.clear();
  // A number ends with each character that announces no other.
  rle.counts.reserve(static_cast<size_t>(std::count_if(
      counts.begin(), counts.end(), [](char c) { return c < kFirstCharacter + kMoreFollows; })));
  const int64_t num_pixels = height * width;
  int64_t sum = 0;
  for (CountsReader reader(counts); !reader.done();) {
    int64_t run = reader.next();
    const size_t index = rle.counts.size();
    if (index > 2) run += rle.counts[index - 2];
    if (run < 0) {
      throw DataError("expected runs of 0 or more pixels, got run " + std::to_string(index) +
                      " of " + std::to_string(run) + ". The 'counts' string is damaged.");
    }
    sum += run;
    if (sum > num_pixels) {
      fail_sum("more: " + std::to_string(sum) + " after run " + std::to_string(index), height,
               width);
    }
    rle.counts.push_back(static_cast<uint32_t>(run));
  }
  if (sum != num_pixels) fail_sum(std::to_string(sum), height, width);
  return rle;
}

std::string encode_counts(const Rle& rle) {
  std::string text;
  text.reserve(rle.counts.size() * 2);
  for (size_t i = 0; i < rle.counts.size(); ++i) {
    int64_t rest = rle.counts[i];
    if (i > 2) rest -= rle.counts[i - 2];
    while (true) {
      const int64_t bits = rest & kValueBits;
      rest >>= kBitsPerCharacter;  // arithmetic: a negative rest ends at -1
      const int64_t end = (bits & kSignBit) != 0 ? -1 : 0;
      const bool last = rest == end;
      text.push_back(static_cast<char>(kFirstCharacter + bits + (last ? 0 : kMoreFollows)));
      if (last) break;
    }
  }
  return text;
}

Rle from_mask(std::span<const uint8_t> mask, int64_t height, int64_t width) {
  check_mask_size(height, width);
  if (mask.size() != static_cast<size_t>(height * width)) {
    throw DataError("expected a mask of " + std::to_string(height * width) + " bytes (" +
                    size_text(height, width) + "), got " + std::to_string(mask.size()) + ".");
  }
  // Columns are gathered in blocks: a plain walk down a column touches a cache line per pixel.
  constexpr int64_t kBlock = 64;
  std::vector<uint8_t> columns(static_cast<size_t>(std::min(kBlock, width) * height));
  Rle rle{height, width, {}};
  uint32_t run = 0;
  uint8_t value = 0;
  for (int64_t left = 0; left < width; left += kBlock) {
    const int64_t block = std::min(kBlock, width - left);
    for (int64_t y = 0; y < height; ++y) {
      const uint8_t* row = mask.data() + y * width + left;
      for (int64_t x = 0; x < block; ++x) columns[x * height + y] = row[x] != 0;
    }
    for (int64_t i = 0; i < block * height; ++i) {
      if (columns[i] != value) {
        rle.counts.push_back(run);
        run = 0;
        value = columns[i];
      }
      ++run;
    }
  }
  rle.counts.push_back(run);
  return rle;
}

std::vector<uint8_t> to_mask(const Rle& rle) {
  check(rle);
  std::vector<uint8_t> mask(static_cast<size_t>(rle.height * rle.width), 0);
  int64_t position = 0;
  for (size_t i = 0; i < rle.counts.size(); ++i) {
    const int64_t end = position + rle.counts[i];
    if (i % 2 == 1) {
      int64_t y = position % rle.height;
      int64_t x = position / rle.height;
      for (int64_t left = end - position; left > 0; --left) {
        mask[y * rle.width + x] = 1;
        if (++y == rle.height) {
          y = 0;
          ++x;
        }
      }
    }
    position = end;
  }
  return mask;
}

uint64_t area(const Rle& rle) {
  uint64_t sum = 0;
  for (size_t i = 1; i < rle.counts.size(); i += 2) sum += rle.counts[i];
  return sum;
}

Box bounding_box(const Rle& rle) {
  int64_t left = std::numeric_limits<int64_t>::max();
  int64_t top = std::numeric_limits<int64_t>::max();
  int64_t right = -1;
  int64_t bottom = -1;
  int64_t position = 0;
  for (size_t i = 0; i < rle.counts.size(); ++i) {
    const int64_t length = rle.counts[i];
    if (i % 2 == 1 && length > 0) {
      const int64_t last = position + length - 1;
      const int64_t first_column = position / rle.height;
      const int64_t last_column = last / rle.height;
      const bool one_column = first_column == last_column;
      left = std::min(left, first_column);
      right = std::max(right, last_column);
      // A run over a column's end holds its bottom pixel and the next one's top pixel.
      top = std::min(top, one_column ? position % rle.height : 0);
      bottom = std::max(bottom, one_column ? last % rle.height : rle.height - 1);
    }
    position += length;
  }
  if (right < 0) return {};
  return {static_cast<double>(left), static_cast<double>(top),
          static_cast<double>(right - left + 1), static_cast<double>(bottom - top + 1)};
}

uint64_t intersection_area(const Rle& a, const Rle& b) {
  check_same_size(a, b);
  ForegroundRuns of_a(a);
  ForegroundRuns of_b(b);
  uint64_t total = 0;
  while (!of_a.done() && !of_b.done()) {
    const uint64_t start = std::max(of_a.start(), of_b.start());
    const uint64_t end = std::min(of_a.end(), of_b.end());
    total += end > start ? end - start : 0;
    // Both may end here: the other then meets the next one in an empty stretch.
    if (of_a.end() == end) {
      of_a.next();
    } else {
      of_b.next();
    }
  }
  return total;
}

Rle merge(const Rle& a, const Rle& b) {
  check_same_size(a, b);
  RunBuilder builder(a.height, a.width);
  sweep(a, b, [&](bool in_a, bool in_b, uint64_t length) {
    builder.add(in_a || in_b, static_cast<uint32_t>(length));
  });
  return builder.take();
}

Rle subtract(const Rle& a, const Rle& b) {
  check_same_size(a, b);
  RunBuilder builder(a.height, a.width);
  sweep(a, b, [&](bool in_a, bool in_b, uint64_t length) {
    builder.add(in_a && !in_b, static_cast<uint32_t>(length));
  });
  return builder.take();
}

}  // namespace tessera::data
