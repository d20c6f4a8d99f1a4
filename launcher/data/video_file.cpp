#include "launcher/data/video_file.h"

#include <mutex>
#include <opencv2/imgproc.hpp>

#include "core/error.h"
#include "launcher/data/codecs.h"
#include "launcher/data/image_mat.h"

namespace tessera::data {
namespace {

class VideoFile : public FrameSource {
 public:
  explicit VideoFile(std::filesystem::path file) : file_(std::move(file)) {
    use_single_opencv_thread();
    open();
    while (capture_->grab()) ++length_;
    open();
  }

  int64_t length() const { return length_; }

  at::Tensor read(int64_t index) override {
    const std::lock_guard lock(mutex_);
    if (index < next_) open();
    bool there = index >= 0 && index < length_;
    while (there && next_ <= index) {
      there = capture_->grab();
      ++next_;
    }
    cv::Mat frame;
    if (!there || !capture_->retrieve(frame) || frame.empty())
      throw DataError(file_.string() + ": expected frame " + std::to_string(index) + " of " +
                      std::to_string(length_) + ", got none. Check that the file is whole.");
    cv::cvtColor(frame, frame, cv::COLOR_BGR2RGB);
    return to_tensor(frame);
  }

 private:
  /// Starts over: seeking is inexact for many codecs, reading in order never is.
  void open() {
    next_ = 0;
    if (!capture_->open(file_.string()))
      throw DataError(file_.string() +
                      ": expected a video file, a folder of frames or a .json file, got a file "
                      "that cannot be decoded. Convert it, or give a folder of its frames.");
  }

  std::filesystem::path file_;
  std::mutex mutex_;
  std::unique_ptr<cv::VideoCapture> capture_ = codecs().video_reader();
  int64_t length_ = 0;
  int64_t next_ = 0;  // index of the frame that grab() gives
};

}  // namespace

InferenceVideo open_video_file(const std::filesystem::path& file) {
  const auto source = std::make_shared<VideoFile>(file);
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
