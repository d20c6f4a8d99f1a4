// libtessera_codecs.so: see codecs.h.

#include <opencv2/imgcodecs.hpp>
#include <opencv2/videoio/registry.hpp>

#include "launcher/data/codecs.h"

namespace tessera::data {
namespace {

std::unique_ptr<cv::VideoWriter> make_writer(const std::string& file, const char (&code)[5],
                                             double frames_per_second, cv::Size size) {
  return std::make_unique<cv::VideoWriter>(
      file, cv::VideoWriter::fourcc(code[0], code[1], code[2], code[3]), frames_per_second, size);
}

std::vector<std::string> names_of_backends() {
  std::vector<std::string> names;
  for (const cv::VideoCaptureAPIs backend : cv::videoio_registry::getStreamBackends())
    names.push_back(cv::videoio_registry::getBackendName(backend));
  return names;
}

}  // namespace
}  // namespace tessera::data

extern "C" __attribute__((visibility("default"))) const tessera::data::Codecs tessera_codecs = {
    .decode_image = [](cv::InputArray bytes, int flags) { return cv::imdecode(bytes, flags); },
    .encode_image = cv::imencode,
    .video_reader = [] { return std::make_unique<cv::VideoCapture>(); },
    .video_writer = tessera::data::make_writer,
    .video_backends = tessera::data::names_of_backends,
};
