// libtessera_codecs.so: see codecs.h.

#include <opencv2/imgcodecs.hpp>

#include "launcher/data/codecs.h"
#include "launcher/data/ffmpeg_video.h"

namespace tessera::data {
namespace {

std::unique_ptr<cv::VideoWriter> make_writer(const std::string& file, const char (&code)[5],
                                             double frames_per_second, cv::Size size) {
  return std::make_unique<cv::VideoWriter>(
      file, cv::VideoWriter::fourcc(code[0], code[1], code[2], code[3]), frames_per_second, size);
}

}  // namespace
}  // namespace tessera::data

extern "C" __attribute__((visibility("default"))) const tessera::data::Codecs tessera_codecs = {
    .decode_image = [](cv::InputArray bytes, int flags) { return cv::imdecode(bytes, flags); },
    .encode_image = cv::imencode,
    .open_video = tessera::data::open_with_ffmpeg,
    .video_writer = tessera::data::make_writer,
    .draw_text = tessera::data::draw_text_raster,
    .video_library = tessera::data::ffmpeg_version,
};
