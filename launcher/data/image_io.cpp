#include "launcher/data/image_io.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/data/image_mat.h"

namespace tessera::data {
namespace {

constexpr int kJpegQuality = 95;
constexpr std::string_view kPngHead("\x89PNG\r\n", 6);
constexpr std::string_view kJpegHead("\xff\xd8", 2);
constexpr std::string_view kJpegEnd("\xff\xd9", 2);

/// Whether the end-of-image marker follows the compressed data. Markers inside the header's
/// segments (an embedded preview) do not count; compressed data cannot hold the marker by chance.
bool is_whole_jpeg(std::string_view bytes) {
  size_t at = kJpegHead.size();
  while (at + 4 <= bytes.size() && bytes[at] == '\xff') {
    if (bytes[at + 1] == '\xff') {  // fill bytes may precede a marker
      ++at;
      continue;
    }
    const bool is_scan = bytes[at + 1] == '\xda';
    at += 2 + static_cast<uint8_t>(bytes[at + 2]) * 256 + static_cast<uint8_t>(bytes[at + 3]);
    if (is_scan) return at < bytes.size() && bytes.find(kJpegEnd, at) != std::string_view::npos;
  }
  return false;
}

/// OpenCV fills what is missing of a cut-off file with grey or black and says nothing.
bool is_whole(std::string_view bytes) {
  if (bytes.starts_with(kJpegHead)) return is_whole_jpeg(bytes);
  if (bytes.starts_with(kPngHead)) return bytes.rfind("IEND") != std::string_view::npos;
  return true;
}

std::string read_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in || !std::filesystem::is_regular_file(file))
    throw DataError(file.string() +
                    ": expected an image file, got no readable file. Check the image folder.");
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

void use_single_opencv_thread() {
  static std::once_flag once;
  std::call_once(once, [] { cv::setNumThreads(1); });
}

cv::Mat read_mat(const std::filesystem::path& file) {
  use_single_opencv_thread();
  std::string bytes = read_bytes(file);
  if (!is_whole(bytes))
    throw DataError(file.string() + ": expected a whole image, got one that is cut off after " +
                    std::to_string(bytes.size()) + " bytes. Fetch the file again.");
  cv::Mat image;
  std::string reason = "bytes of no known image format";
  try {
    // Masks belong to the pixels as stored: an EXIF orientation must not turn them.
    if (!bytes.empty())
      image = cv::imdecode(cv::Mat(1, static_cast<int>(bytes.size()), CV_8U, bytes.data()),
                           cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception& error) {
    reason = error.err;
  }
  if (image.empty())
    throw DataError(file.string() + ": expected an image, got " + reason +
                    ". Fetch the file again.");
  cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
  return image;
}

void write_mat(const std::filesystem::path& file, const cv::Mat& rgb) {
  use_single_opencv_thread();
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  bool written = false;
  try {
    written = cv::imwrite(file.string(), bgr, {cv::IMWRITE_JPEG_QUALITY, kJpegQuality});
  } catch (const cv::Exception& error) {
    throw RuntimeError(file.string() + ": expected to write an image, got '" + error.err +
                       "'. Use a name that ends in .png or .jpg.");
  }
  if (!written)
    throw RuntimeError(file.string() +
                       ": expected to write an image, got a failure. Check folder and disk space.");
}

at::Tensor to_tensor(const cv::Mat& rgb) {
  at::Tensor image = at::empty({rgb.rows, rgb.cols, 3}, at::kByte);
  cv::Mat shared = to_mat(image);
  rgb.copyTo(shared);
  return image;
}

cv::Mat to_mat(const at::Tensor& image) {
  expect_shape(image, "[H,W,3]", "image");
  if (image.scalar_type() != at::kByte || !image.is_contiguous())
    throw ShapeError("image: expected contiguous uint8, got " +
                     std::string(at::toString(image.scalar_type())) + ".");
  return cv::Mat(static_cast<int>(image.size(0)), static_cast<int>(image.size(1)), CV_8UC3,
                 image.data_ptr<uint8_t>());
}

at::Tensor read_image(const std::filesystem::path& file) {
  return to_tensor(read_mat(file));
}

void write_image(const std::filesystem::path& file, const at::Tensor& image) {
  write_mat(file, to_mat(image));
}

std::vector<uint8_t> encode_jpeg(const at::Tensor& image) {
  use_single_opencv_thread();
  const at::Tensor whole = image.contiguous();
  cv::Mat bgr;
  cv::cvtColor(to_mat(whole), bgr, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> bytes;
  if (!cv::imencode(".jpg", bgr, bytes, {cv::IMWRITE_JPEG_QUALITY, kJpegQuality}))
    throw RuntimeError("image: expected to encode a JPEG, got a failure of OpenCV.");
  return bytes;
}

}  // namespace tessera::data
