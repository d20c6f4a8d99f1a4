#pragma once

#include <filesystem>
#include <opencv2/core.hpp>
#include <string>

namespace tessera::data {

/// The bytes of an image file. Throws DataError naming the file where it is missing, cut off, of a
/// format whose size nobody can tell before decoding it (see image_header.h), or states a size
/// above rle.h's kMaxMaskPixels.
std::string read_image_bytes(const std::filesystem::path& file);

/// The checks of read_image_bytes, on bytes that are there; `file` is for messages.
void check_image_bytes(const std::filesystem::path& file, const std::string& bytes);

/// in: bytes of `file`; flags of cv::imdecode. Throws DataError naming the file.
cv::Mat decode_image(const std::filesystem::path& file, std::string& bytes, int flags);

/// Worker threads are ours; OpenCV must not start more. Call before the first heavy operation.
void use_single_opencv_thread();

}  // namespace tessera::data
