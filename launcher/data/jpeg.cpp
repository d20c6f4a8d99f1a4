#include "launcher/data/jpeg.h"

#include <turbojpeg.h>

#include <memory>
#include <string>

#include "core/error.h"

namespace tessera::data {
namespace {

struct Destroy {
  void operator()(void* decoder) const { tjDestroy(decoder); }
};

using Decoder = std::unique_ptr<void, Destroy>;

[[noreturn]] void refuse(const Decoder& decoder) {
  throw DataError(std::string("expected a JPEG image, got '") + tjGetErrorStr2(decoder.get()) +
                  "'.");
}

}  // namespace

cv::Mat decode_jpeg(std::string_view bytes, int reduction) {
  const Decoder decoder(tjInitDecompress());
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int width = 0, height = 0, subsampling = 0, colours = 0;
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &width, &height, &subsampling,
                          &colours) != 0 &&
      tjGetErrorCode(decoder.get()) == TJERR_FATAL)
    refuse(decoder);
  if (colours == TJCS_CMYK || colours == TJCS_YCCK) return {};
  const tjscalingfactor scale{1, reduction};
  cv::Mat rgb(TJSCALED(height, scale), TJSCALED(width, scale), CV_8UC3);
  // A few bytes can ask for thousands of passes over the whole image.
  if (tjDecompress2(decoder.get(), data, bytes.size(), rgb.data, rgb.cols,
                    static_cast<int>(rgb.step), rgb.rows, TJPF_RGB, TJFLAG_LIMITSCANS) != 0 &&
      tjGetErrorCode(decoder.get()) == TJERR_FATAL)
    refuse(decoder);
  return rgb;
}

}  // namespace tessera::data
