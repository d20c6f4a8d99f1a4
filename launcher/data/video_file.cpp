#include "launcher/data/video_file.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

#include "core/error.h"
#include "launcher/data/codecs.h"
#include "launcher/data/image_mat.h"

namespace tessera::data {
namespace {

using Step = VideoDecoder::Step;

std::unique_ptr<VideoDecoder> open_decoder(const std::filesystem::path& file) {
  OpenedVideo opened = codecs().open_video(file.string(), at::get_num_threads());
  if (opened.decoder) return std::move(opened.decoder);
  throw DataError(file.string() +
                  ": expected a video file, a folder of frames or a .json file, got a file that "
                  "cannot be decoded (" +
                  opened.problem + "). Convert it, or give a folder of its frames.");
}

/// What decoding the whole file shows.
struct Contents {
  std::vector<double> times;  // of the frames, seconds; not a number where unknown
  int64_t stated = 0;         // frames that the container states; 0: none
  std::string damage;         // the first and the last that were met
  int64_t damaged_places = 0;
  int64_t good = 0;  // frames before the first damage
};

Contents read_contents(VideoDecoder& decoder) {
  Contents contents;
  contents.stated = decoder.stated_frames();
  int64_t met = 0;          // frames before the first damage was met
  double damaged_from = 0;  // seconds
  std::string last;
  for (Step step = decoder.next(); step != Step::kEnd; step = decoder.next()) {
    if (step == Step::kFrame) {
      contents.times.push_back(decoder.frame_time());
      continue;
    }
    if (++contents.damaged_places > 1) {
      last = decoder.damage();
      continue;
    }
    contents.damage = decoder.damage();
    damaged_from = decoder.damage_time();
    met = static_cast<int64_t>(contents.times.size());
  }
  if (!last.empty() && last != contents.damage) contents.damage += "; " + last;
  // Decoders hold frames back to put them in order, so damage is met before some good frames.
  contents.good = std::isnan(damaged_from)
                      ? met
                      : std::count_if(contents.times.begin(), contents.times.end(),
                                      [&](double time) { return time < damaged_from; });
  if (contents.damaged_places == 0) contents.good = static_cast<int64_t>(contents.times.size());
  return contents;
}

void check_is_whole(const std::filesystem::path& file, const Contents& contents) {
  if (contents.damaged_places == 0) return;
  const auto frames = static_cast<int64_t>(contents.times.size());
  throw DataError(
      file.string() + ": expected " +
      (contents.stated > 0
           ? "the " + std::to_string(contents.stated) + " frames that the container states"
           : std::string("a whole video")) +
      ", got " + std::to_string(frames) + " and " + std::to_string(contents.damaged_places) +
      " damaged place(s); the last good frame before " +
      (contents.damaged_places > 1 ? "the first of them is " : "it is ") +
      (contents.good > 0 ? "frame " + std::to_string(contents.good - 1) + ", counted from 0"
                         : "none") +
      ": " + contents.damage +
      ". Fetch or convert the file again; --allow-broken-video goes on with the " +
      std::to_string(frames) + " frames that can be decoded.");
}

class VideoFile : public FrameSource {
 public:
  VideoFile(std::filesystem::path file, bool allow_broken) : file_(std::move(file)) {
    use_single_opencv_thread();
    open();
    const Contents contents = read_contents(*decoder_);
    length_ = static_cast<int64_t>(contents.times.size());
    if (!allow_broken) check_is_whole(file_, contents);
    open();
  }

  int64_t length() const { return length_; }

  at::Tensor read(int64_t index) override {
    const std::lock_guard lock(mutex_);
    if (index < 0 || index >= length_) fail(index);
    // Seeking is inexact for many codecs, reading in order never is.
    if (index < current_) open();
    while (current_ < index) {
      const Step step = decoder_->next();
      if (step == Step::kEnd) fail(index);
      if (step == Step::kFrame) ++current_;
    }
    const cv::Mat frame = decoder_->frame();
    if (size_.empty()) size_ = frame.size();
    if (frame.size() != size_)
      throw DataError(file_.string() + ": frame " + std::to_string(index) + ": expected " +
                      std::to_string(size_.width) + "x" + std::to_string(size_.height) +
                      " pixels as the frames before, got " + std::to_string(frame.cols) + "x" +
                      std::to_string(frame.rows) +
                      ". Frames of a video have one size: convert it.");
    return to_tensor(frame);
  }

 private:
  void open() {
    decoder_ = open_decoder(file_);
    current_ = -1;
  }

  [[noreturn]] void fail(int64_t index) const {
    throw DataError(file_.string() + ": expected frame " + std::to_string(index) + " of " +
                    std::to_string(length_) + ", got none. Check that the file is whole.");
  }

  std::filesystem::path file_;
  std::mutex mutex_;
  std::unique_ptr<VideoDecoder> decoder_;
  cv::Size size_;  // of the first frame that was read
  int64_t length_ = 0;
  int64_t current_ = -1;  // the frame that the decoder has
};

}  // namespace

InferenceVideo open_video_file(const std::filesystem::path& file, bool allow_broken) {
  const auto source = std::make_shared<VideoFile>(file, allow_broken);
  if (source->length() == 0)
    throw DataError(file.string() + ": expected at least one frame, got none. Check the file.");
  const at::Tensor first = source->read(0);
  return {.id = 1,
          .name = file.stem().string(),
          .height = first.size(0),
          .width = first.size(1),
          .length = source->length(),
          .source = source};
}

}  // namespace tessera::data
