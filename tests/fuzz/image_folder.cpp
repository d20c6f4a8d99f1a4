// A folder of frames whose names and bytes nobody vouches for: its order, what the headers state,
// and, where that is small, the pixels. The first line of the input holds the names of up to four
// frames, separated by '/'; the rest are the bytes of all of them.

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "launcher/data/convert/frames.h"
#include "launcher/data/image_bytes.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/image_header.h"
#include "launcher/data/jpeg.h"
#include "launcher/data/natural_order.h"
#include "tests/fuzz/target.h"

namespace {

namespace fs = std::filesystem;
using namespace tessera;

constexpr size_t kMostFrames = 4, kLongestName = 60;
/// Larger ones are right, too, but slow.
constexpr int64_t kMostPixels = 1 << 16;

/// In memory where there is such a place: a million folders on a disk take hours.
class Folder {
 public:
  Folder() {
    const fs::path memory = "/dev/shm";
    std::string name =
        ((fs::is_directory(memory) ? memory : fs::temp_directory_path()) / "fuzz-XXXXXX").string();
    fuzz::expect(::mkdtemp(name.data()) != nullptr, "a folder can be made");
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }
  void empty() const {
    for (const auto& entry : fs::directory_iterator(path_)) fs::remove(entry.path());
  }

 private:
  fs::path path_;
};

std::vector<std::string> split_names(std::string_view line) {
  std::vector<std::string> names;
  while (!line.empty() && names.size() < kMostFrames) {
    const size_t end = std::min(line.find('/'), line.size());
    std::string name(line.substr(0, std::min(end, kLongestName)));
    name = name.substr(0, name.find('\0'));
    if (!name.empty() && name != "." && name != "..") names.push_back(std::move(name));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return names;
}

void check_order(const std::vector<std::string>& names) {
  for (const auto& a : names)
    for (const auto& b : names) {
      fuzz::expect(!(data::natural_less(a, b) && data::natural_less(b, a)),
                   "an order has two sides");
      fuzz::expect(data::natural_less(a, b) || data::natural_less(b, a) || a == b,
                   "different names have an order");
      for (const auto& c : names)
        fuzz::expect(
            !data::natural_less(a, b) || !data::natural_less(b, c) || data::natural_less(a, c),
            "an order goes on");
    }
}

/// Memory is allocated for what a header states; it must be what the decoder then makes.
void check_pixels(const fs::path& file, std::string bytes) {
  const auto header = data::read_image_header(bytes);
  fuzz::expect(header.has_value(), "an image that is read states its size");
  if (header->width * header->height > kMostPixels) return;
  const cv::Mat image =
      data::decode_image(file, bytes, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  const cv::Size stated(static_cast<int>(header->width), static_cast<int>(header->height));
  fuzz::expect(image.size() == stated, "an image has the size that its header states");
  if (!data::is_jpeg(bytes)) return;
  const cv::Mat directly = data::decode_jpeg(bytes, 1);
  fuzz::expect(directly.empty() || directly.size() == stated,
               "libjpeg-turbo's own interface reads the same header");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  const std::string_view input = fuzz::text_of(data, size);
  const size_t line = std::min(input.find('\n'), input.size());
  const std::vector<std::string> names = split_names(input.substr(0, line));
  const std::string bytes(input.substr(std::min(line + 1, input.size())));
  check_order(names);
  folder.empty();
  for (const std::string& name : names)
    std::ofstream(folder.path() / name, std::ios::binary) << bytes;
  try {
    const data::FrameFolder frames = data::open_frame_folder(folder.path());
    fuzz::expect(frames.width > 0 && frames.height > 0 && frames.files.size() <= names.size(),
                 "a folder of frames has frames");
    check_pixels(frames.files.front(), data::read_image_bytes(frames.files.front()));
  } catch (const DataError&) {
  }
  return 0;
}
