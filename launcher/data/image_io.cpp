#include "launcher/data/image_io.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <fstream>
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

/// What the segments before a JPEG's compressed data say.
struct JpegHead {
  cv::Size size;    // of the image; 0 x 0: not stated
  size_t data = 0;  // where the compressed data begins; 0: nowhere
};

JpegHead read_jpeg_head(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  JpegHead head;
  size_t at = kJpegHead.size();
  while (at + 4 <= bytes.size() && byte(at) == 0xff) {
    const uint8_t marker = byte(at + 1);
    if (marker == 0xff) {  // fill bytes may precede a marker
      ++at;
      continue;
    }
    // Frame headers are C0 to CF but for three that define tables.
    const bool is_frame =
        (marker & 0xf0) == 0xc0 && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (is_frame && at + 9 <= bytes.size()) {
      head.size = {byte(at + 7) * 256 + byte(at + 8), byte(at + 5) * 256 + byte(at + 6)};
    }
    at += 2 + static_cast<size_t>(byte(at + 2)) * 256 + byte(at + 3);
    if (marker == 0xda) {
      if (at < bytes.size()) head.data = at;
      break;
    }
  }
  return head;
}

/// Whether the end-of-image marker follows the compressed data. Markers inside the header's
/// segments (an embedded preview) do not count; compressed data cannot hold the marker by chance.
bool is_whole_jpeg(std::string_view bytes) {
  const size_t data = read_jpeg_head(bytes).data;
  return data > 0 && bytes.find(kJpegEnd, data) != std::string_view::npos;
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
  std::string bytes(static_cast<size_t>(std::filesystem::file_size(file)), '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(in.gcount()));
  return bytes;
}

}  // namespace

void use_single_opencv_thread() {
  static std::once_flag once;
  std::call_once(once, [] { cv::setNumThreads(1); });
}

cv::Mat read_mat(const std::filesystem::path& file) {
  return read_reduced(file, 1).rgb;
}

ReducedImage read_reduced(const std::filesystem::path& file, int reduction) {
  use_single_opencv_thread();
  std::string bytes = read_bytes(file);
  if (!is_whole(bytes))
    throw DataError(file.string() + ": expected a whole image, got one that is cut off after " +
                    std::to_string(bytes.size()) + " bytes. Fetch the file again.");
  ReducedImage result;
  if (bytes.starts_with(kJpegHead)) result.stored_size = read_jpeg_head(bytes).size;
  const int whole = cv::IMREAD_COLOR;
  const int colours = result.stored_size.area() == 0 ? whole
                      : reduction == 8               ? cv::IMREAD_REDUCED_COLOR_8
                      : reduction == 4               ? cv::IMREAD_REDUCED_COLOR_4
                      : reduction == 2               ? cv::IMREAD_REDUCED_COLOR_2
                                                     : whole;
  cv::Mat& image = result.rgb;
  std::string reason = "bytes of no known image format";
  try {
    // Masks belong to the pixels as stored: an EXIF orientation must not turn them.
    if (!bytes.empty())
      image = cv::imdecode(cv::Mat(1, static_cast<int>(bytes.size()), CV_8U, bytes.data()),
                           colours | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception& error) {
    reason = error.err;
  }
  if (image.empty())
    throw DataError(file.string() + ": expected an image, got " + reason +
                    ". Fetch the file again.");
  if (colours == whole) result.stored_size = image.size();
  cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
  return result;
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
