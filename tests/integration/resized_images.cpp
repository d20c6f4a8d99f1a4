// Reads lines `<resize> <rounding> <short side> <max side> <image> <output, or ->` from standard
// input, resizes each image as `data.resize`, `data.resize_rounding` and a training clip's last
// resize do, writes a portable pixmap, and answers `<width> <height> <milliseconds of decoding>
// <milliseconds of resizing>`. tests/integration/pillow_resize.py and bench/resizing.py use it.

#include <chrono>
#include <fstream>
#include <iostream>
#include <opencv2/core.hpp>
#include <sstream>

#include "core/error.h"
#include "launcher/data/clip_transform.h"
#include "launcher/data/image_mat.h"

namespace {

using namespace tessera;
using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

void write_pixmap(const std::string& file, const cv::Mat& frame) {
  cv::Mat levels;
  frame.convertTo(levels, CV_8U);
  std::ofstream out(file, std::ios::binary);
  out << "P6 " << levels.cols << " " << levels.rows << " 255\n";
  out.write(reinterpret_cast<const char*>(levels.data),
            static_cast<std::streamsize>(levels.total() * levels.elemSize()));
}

void answer(const std::string& line) {
  DataOptions options;
  int64_t short_side = 0, max_side = 0;
  std::string image, output;
  std::istringstream(line) >> options.resize >> options.resize_rounding >> short_side >> max_side >>
      image >> output;
  const cv::Size stored = data::read_reduced(image, 1).whole_size;
  data::ClipTransform transform(stored, 1, data::resizing_of(options));
  transform.resize(short_side, max_side);
  const auto start = Clock::now();
  const cv::Mat decoded = data::read_reduced(image, transform.reduction()).rgb;
  const auto middle = Clock::now();
  const cv::Mat resized = transform.frame(decoded, 0);
  const auto end = Clock::now();
  if (output != "-") write_pixmap(output, resized);
  std::cout << resized.cols << " " << resized.rows << " " << milliseconds(start, middle) << " "
            << milliseconds(middle, end) << std::endl;
}

}  // namespace

int main() {
  data::use_single_opencv_thread();
  try {
    for (std::string line; std::getline(std::cin, line);) answer(line);
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
