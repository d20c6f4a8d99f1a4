#include "launcher/data/image_rules.h"

#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "core/error.h"
#include "launcher/data/image_bytes.h"
#include "launcher/data/image_header.h"
#include "launcher/data/turn.h"

namespace tessera::data {
namespace {

constexpr int kUsualBits = 8;
/// Values of 14 bits or less in 16 look like a quarter of the light or less.
constexpr double kDark = 1 << 14;

constexpr const char* kTurnOption =
    "turn_by_exif = true in [data] (--turn-by-exif of the commands without an experiment)";

std::string size_text(const cv::Size& size) {
  return std::to_string(size.width) + "x" + std::to_string(size.height);
}

}  // namespace

std::string orientation_hint(const std::filesystem::path& file, const ImageRules& rules) {
  std::optional<ImageHeader> header;
  try {
    header = read_image_header(read_image_bytes(file));
  } catch (const DataError&) {
    return "";  // the caller reports another error already
  }
  if (!header || header->orientation == 1) return "";
  const std::string states = " The file states the EXIF orientation " +
                             std::to_string(header->orientation) + ", which is ";
  if (rules.turn_by_exif)
    return states + "applied; without turn_by_exif the pixels stay as they are stored.";
  const cv::Size stored(static_cast<int>(header->width), static_cast<int>(header->height));
  return states + "not applied: turned by it, the image has " +
         size_text(turn_of_exif(header->orientation)->apply(stored)) + " pixels. " + kTurnOption +
         " turns images.";
}

std::optional<int64_t> unused_range(const std::filesystem::path& file, const ImageRules& rules) {
  if (rules.white_level > 0) return std::nullopt;
  std::string bytes = read_image_bytes(file);
  if (read_image_header(bytes)->bits <= kUsualBits) return std::nullopt;
  const cv::Mat image = decode_image(
      file, bytes, cv::IMREAD_COLOR | cv::IMREAD_ANYDEPTH | cv::IMREAD_IGNORE_ORIENTATION);
  if (image.depth() != CV_16U) return std::nullopt;
  double largest = 0;
  cv::minMaxIdx(image.reshape(1), nullptr, &largest);
  if (largest >= kDark) return std::nullopt;
  return std::llround(largest);
}

std::string warn_of_image(const std::filesystem::path& file, const ImageRules& rules) {
  std::string warning;
  if (!rules.turn_by_exif)
    if (const std::string hint = orientation_hint(file, rules); !hint.empty())
      warning = file.string() + ":" + hint;
  if (const auto largest = unused_range(file, rules)) {
    if (!warning.empty()) warning += " ";
    warning += file.string() + ": 16 bits a channel, but no value above " +
               std::to_string(*largest) +
               ": the frame is nearly black. white_level in [data] states the value that becomes "
               "white, such as 4095 for 12 bits.";
  }
  return warning;
}

}  // namespace tessera::data
