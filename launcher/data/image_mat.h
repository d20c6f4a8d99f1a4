#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <opencv2/core.hpp>

#include "launcher/data/image_bytes.h"
#include "launcher/data/image_rules.h"

namespace tessera::data {

/// The same as read_image and write_image, as OpenCV matrices (CV_8UC3, RGB).
cv::Mat read_mat(const std::filesystem::path& file, const ImageRules& rules = {});

struct ReducedImage {
  cv::Mat rgb;          // CV_8UC3
  cv::Size whole_size;  // of the image in the file, after turning
};

/// An image decoded `reduction` (1, 2, 4 or 8) times smaller where its format can do that, which
/// JPEG can; others come whole. Sides that do not divide are rounded up.
ReducedImage read_reduced(const std::filesystem::path& file, int reduction,
                          const ImageRules& rules = {});

void write_mat(const std::filesystem::path& file, const cv::Mat& rgb);

/// in: CV_8UC3. out: [H,W,3] uint8, a copy.
at::Tensor to_tensor(const cv::Mat& rgb);
/// in: contiguous [H,W,3] uint8. out: CV_8UC3 that shares the memory; keep the tensor alive.
cv::Mat to_mat(const at::Tensor& image);

}  // namespace tessera::data
