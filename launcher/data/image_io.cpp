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
#include "launcher/data/turn.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::data {
namespace {

constexpr int kJpegQuality = 95;

/// By OpenCV, which reads every format, whole.
cv::Mat decode_slowly(const std::filesystem::path& file, std::string& bytes,
                      const ImageHeader& header, const ImageRules& rules) {
  constexpr int kUsualBits = 8;
  constexpr double kWhite = 255;
  const bool is_deep = rules.white_level > 0 && header.bits > kUsualBits;
  cv::Mat image = decode_image(
      file, bytes,
      cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION | (is_deep ? cv::IMREAD_ANYDEPTH : 0));
  if (is_deep) image.convertTo(image, CV_8U, kWhite / static_cast<double>(rules.white_level));
  cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
  return image;
}

}  // namespace

cv::Mat read_mat(const std::filesystem::path& file, const ImageRules& rules) {
  return read_reduced(file, 1, rules).rgb;
}

ReducedImage read_reduced(const std::filesystem::path& file, int reduction,
                          const ImageRules& rules) {
  std::string bytes = read_image_bytes(file);
  const ImageHeader header = read_image_header(bytes).value();
  ReducedImage result;
  if (is_jpeg(bytes)) {
    at_place([&] { return file.string(); }, [&] { result.rgb = decode_jpeg(bytes, reduction); });
    result.whole_size = {static_cast<int>(header.width), static_cast<int>(header.height)};
  }
  if (result.rgb.empty()) {
    result.rgb = decode_slowly(file, bytes, header, rules);
    result.whole_size = result.rgb.size();
  }
  // Masks may belong to the pixels as stored, so that an orientation is not applied unasked.
  if (!rules.turn_by_exif) return result;
  const Turn turn = turn_of_exif(header.orientation).value();
  result.rgb = turn.apply(result.rgb);
  result.whole_size = turn.apply(result.whole_size);
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

at::Tensor read_image(const std::filesystem::path& file, const ImageRules& rules) {
  return to_tensor(read_mat(file, rules));
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
