#pragma once

#include <cstdint>
#include <memory>
#include <opencv2/core.hpp>
#include <string>

namespace tessera::data {

/// Decodes the frames of a video file in order. Not safe to use from several threads.
class VideoDecoder {
 public:
  enum class Step {
    kFrame,   // a frame is there: see frame()
    kDamage,  // something could not be read: see damage(). The next call goes on after it.
    kEnd,
  };

  virtual ~VideoDecoder() = default;

  virtual Step next() = 0;
  /// The frame of the last step, CV_8UC3 RGB, turned and coloured as ffmpeg does it.
  virtual cv::Mat frame() = 0;
  /// When that frame is shown, seconds; not a number where the file does not state it.
  virtual double frame_time() const = 0;
  /// What the last step met: "the file is cut off".
  virtual const std::string& damage() const = 0;
  /// When the damaged frame would be shown, as frame_time().
  virtual double damage_time() const = 0;
  /// Frames that the container states; 0 where it states none.
  virtual int64_t stated_frames() const = 0;
};

/// A decoder, or the reason why there is none.
struct OpenedVideo {
  std::unique_ptr<VideoDecoder> decoder;
  std::string problem;  // where there is no decoder: "moov atom not found"
};

}  // namespace tessera::data
