#include "launcher/data/image_io.h"

#include <ATen/ATen.h>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/data/codecs.h"
#include "launcher/data/image_header.h"
#include "launcher/data/image_mat.h"
#include "launcher/data/jpeg.h"
#include "launcher/data/json_reader.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::data {
namespace {

constexpr int kJpegQuality = 95;

}  // namespace

cv::Mat read_mat(const std::filesystem::path& file) {
  return read_reduced(file, 1).rgb;
}

ReducedImage read_reduced(const std::filesystem::path& file, int reduction) {
  std::string bytes = read_image_bytes(file);
  ReducedImage result;
  if (const auto header = read_image_header(bytes); header && is_jpeg(bytes)) {
    at_place([&] { return file.string(); }, [&] { result.rgb = decode_jpeg(bytes, reduction); });
    result.stored_size = {static_cast<int>(header->width), static_cast<int>(header->height)};
    if (!result.rgb.empty()) return result;
  }
  // Masks belong to the pixels as stored: an EXIF orientation must not turn them.
  result.rgb = decode_image(file, bytes, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  result.stored_size = result.rgb.size();
  cv::cvtColor(result.rgb, result.rgb, cv::COLOR_BGR2RGB);
  return result;
}

void write_mat(const std::filesystem::path& file, const cv::Mat& rgb) {
  use_single_opencv_thread();
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> bytes;
  bool encoded = false;
  try {
    encoded = codecs().encode_image(file.extension().string(), bgr, bytes,
                                    {cv::IMWRITE_JPEG_QUALITY, kJpegQuality});
  } catch (const cv::Exception& error) {
    throw RuntimeError(file.string() + ": expected to write an image, got '" + error.err +
                       "'. Use a name that ends in .png or .jpg.");
  }
  if (!encoded)
    throw RuntimeError(file.string() + ": expected to encode an image, got a failure of OpenCV.");
  write_file(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, Sync::no);
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
  if (!codecs().encode_image(".jpg", bgr, bytes, {cv::IMWRITE_JPEG_QUALITY, kJpegQuality}))
    throw RuntimeError("image: expected to encode a JPEG, got a failure of OpenCV.");
  return bytes;
}

}  // namespace tessera::data
