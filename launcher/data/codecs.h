#pragma once

#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/videoio.hpp>
#include <string>
#include <vector>

#include "launcher/data/text_raster.h"
#include "launcher/data/video_decoder.h"

namespace tessera::data {

/// OpenCV's image formats, FFmpeg's video formats and FreeType's fonts. They are a library of their
/// own, libtessera_codecs.so, because they bring two hundred others (GDAL, ...) whose loading would
/// take a third of every command's start, and most commands read nothing but JPEG.
struct Codecs {
  /// cv::imdecode.
  cv::Mat (*decode_image)(cv::InputArray bytes, int flags);
  /// cv::imencode; `ending` is ".png", ".jpg", ...
  bool (*encode_image)(const std::string& ending, cv::InputArray image, std::vector<uint8_t>& bytes,
                       const std::vector<int>& parameters);
  /// in: num_threads that decode, at least 1. Members of the decoder and of the writer are virtual,
  /// so that callers link nothing.
  OpenedVideo (*open_video)(const std::string& file, int num_threads);
  /// in: code: four characters, for instance "MJPG".
  std::unique_ptr<cv::VideoWriter> (*video_writer)(const std::string& file, const char (&code)[5],
                                                   double frames_per_second, cv::Size size);
  /// Text of any script; see text_raster.h.
  TextRaster (*draw_text)(const std::string& text, int size);
  /// What reads video files, with its version.
  std::string (*video_library)();
};

/// The library's one symbol, a Codecs.
inline constexpr const char* kCodecsSymbol = "tessera_codecs";

/// Loads the library with the first call. Throws RuntimeError where it is not beside
/// libtessera_core.so.
const Codecs& codecs();

}  // namespace tessera::data
