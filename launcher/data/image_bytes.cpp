#include "launcher/data/image_bytes.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <mutex>
#include <opencv2/core/utility.hpp>

#include "core/error.h"
#include "launcher/data/codecs.h"
#include "launcher/data/image_header.h"
#include "launcher/data/json_reader.h"
#include "launcher/data/rle.h"

namespace tessera::data {
namespace {

/// No image within rle.h's kMaxMaskPixels takes more.
constexpr int64_t kMaxImageBytes = 4 * kMaxMaskPixels;

/// What bytes are that begin as no image does.
std::string describe_unknown(const std::string& bytes) {
  if (std::string kind = describe_foreign_file(bytes); !kind.empty()) return kind;
  constexpr size_t kLongestPath = 255;
  const bool is_line =
      !bytes.empty() && bytes.size() <= kLongestPath &&
      std::all_of(bytes.begin(), bytes.end(), [](unsigned char c) { return std::isprint(c) != 0; });
  if (is_line)
    return "the text '" + bytes + "', which a link becomes when it is copied as a plain file";
  return bytes.empty() ? "an empty file" : "bytes of no known image format";
}

}  // namespace

void use_single_opencv_thread() {
  static std::once_flag once;
  std::call_once(once, [] { cv::setNumThreads(1); });
}

void check_image_bytes(const std::filesystem::path& file, const std::string& bytes) {
  // OpenCV fills what is missing of a cut-off file with grey or black and says nothing.
  if (!is_whole_image(bytes))
    throw DataError(file.string() + ": expected a whole image, got one that is cut off after " +
                    std::to_string(bytes.size()) + " bytes. Fetch the file again.");
  // Decoders allocate what the header states before they see that the pixels are missing.
  const auto header = read_image_header(bytes);
  if (!header)
    throw DataError(file.string() + ": expected an image, got " + describe_unknown(bytes) +
                    ". JPEG, PNG, BMP, WebP, PPM and TIFF are read; fetch the file again.");
  at_place([&] { return file.string(); }, [&] { check_mask_size(header->height, header->width); });
}

std::string read_image_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in || !std::filesystem::is_regular_file(file))
    throw DataError(file.string() +
                    ": expected an image file, got no readable file. Check the image folder.");
  const auto size = static_cast<int64_t>(std::filesystem::file_size(file));
  if (size > kMaxImageBytes)
    throw DataError(file.string() + ": expected an image file of at most " +
                    std::to_string(kMaxImageBytes) + " bytes, got " + std::to_string(size) + ".");
  std::string bytes(static_cast<size_t>(size), '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(in.gcount()));
  check_image_bytes(file, bytes);
  return bytes;
}

cv::Mat decode_image(const std::filesystem::path& file, std::string& bytes, int flags) {
  use_single_opencv_thread();
  cv::Mat image;
  std::string reason = "bytes of no known image format";
  try {
    if (!bytes.empty())
      image = codecs().decode_image(cv::Mat(1, static_cast<int>(bytes.size()), CV_8U, bytes.data()),
                                    flags);
  } catch (const cv::Exception& error) {
    reason = error.err;
  }
  if (image.empty())
    throw DataError(file.string() + ": expected an image, got " + reason +
                    ". Fetch the file again.");
  return image;
}

}  // namespace tessera::data
