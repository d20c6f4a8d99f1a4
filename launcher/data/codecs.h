#pragma once

#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/videoio.hpp>
#include <string>
#include <vector>

namespace tessera::data {

/// OpenCV's image and video formats. They are a library of their own, libtessera_codecs.so, because
/// they bring two hundred others (GDAL, FFmpeg, ...) whose loading would take a third of every
/// command's start, and most commands read nothing but JPEG.
struct Codecs {
  /// cv::imdecode.
  cv::Mat (*decode_image)(cv::InputArray bytes, int flags);
  /// cv::imencode; `ending` is ".png", ".jpg", ...
  bool (*encode_image)(const std::string& ending, cv::InputArray image, std::vector<uint8_t>& bytes,
                       const std::vector<int>& parameters);
  /// Not open yet. What it is and the next one's type do is virtual, so that callers link nothing.
  std::unique_ptr<cv::VideoCapture> (*video_reader)();
  /// in: code: four characters, for instance "MJPG".
  std::unique_ptr<cv::VideoWriter> (*video_writer)(const std::string& file, const char (&code)[5],
                                                   double frames_per_second, cv::Size size);
  /// Names of what reads video files.
  std::vector<std::string> (*video_backends)();
};

/// The library's one symbol, a Codecs.
inline constexpr const char* kCodecsSymbol = "tessera_codecs";

/// Loads the library with the first call. Throws RuntimeError where it is not beside
/// libtessera_core.so.
const Codecs& codecs();

}  // namespace tessera::data
