// Video files: against frames that ffmpeg gave, by the one clip that is stored with several turns.

#include <algorithm>
#include <array>
#include <fstream>
#include <opencv2/core.hpp>
#include <optional>

#include "launcher/data/frame_source.h"
#include "launcher/data/image_mat.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::message_of;

class VideoFileTest : public test_support::DataTest {
 protected:
  void SetUp() override {
    DataTest::SetUp();
    clips_ = test_support::shared_folder() / "trials" / "vid";
    if (!std::filesystem::exists(clips_ / "plain.mp4"))
      GTEST_SKIP() << "no " << clips_ << ": set TESSERA_SHARED";
    plain_ = read(clips_ / "plain.mp4");
  }

  /// The plain clip with another display matrix (ISO/IEC 14496-12, 8.3.2): x' = a x + c y,
  /// y' = b x + d y.
  InferenceVideo shown_by(int a, int b, int c, int d) const {
    std::string bytes = plain_;
    size_t at = bytes.find("tkhd") + 44;
    for (const int value : {a, b, 0, c, d, 0, 0, 0}) {
      const auto fixed = static_cast<uint32_t>(value) << 16;
      for (int shift = 24; shift >= 0; shift -= 8) bytes[at++] = static_cast<char>(fixed >> shift);
    }
    return open_videos(write("turned.mp4", bytes)).at(0);
  }

  std::filesystem::path clips_;
  std::string plain_;
};

cv::Mat frame(const InferenceVideo& video, int64_t index) {
  const at::Tensor image = video.read(index);
  return to_mat(image).clone();
}

bool are_equal(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && cv::norm(a, b, cv::NORM_INF) == 0;
}

TEST_F(VideoFileTest, IsShownAsItsMatrixStates) {
  const InferenceVideo plain = open_videos(clips_ / "plain.mp4").at(0);
  const cv::Mat upright = frame(plain, 7);
  const auto rotated = [&](int code) {
    cv::Mat result;
    cv::rotate(upright, result, code);
    return result;
  };
  const auto flipped = [&](int axis) {
    cv::Mat result;
    cv::flip(upright, result, axis);
    return result;
  };
  // ffprobe: "rotation of 90 degrees", which ffmpeg undoes to the left.
  EXPECT_TRUE(are_equal(frame(open_videos(clips_ / "rotate90.mp4").at(0), 7),
                        rotated(cv::ROTATE_90_COUNTERCLOCKWISE)));
  EXPECT_TRUE(
      are_equal(frame(open_videos(clips_ / "rotate180.mp4").at(0), 7), rotated(cv::ROTATE_180)));
  EXPECT_TRUE(are_equal(frame(shown_by(1, 0, 0, 1), 7), upright));
  EXPECT_TRUE(are_equal(frame(shown_by(0, 1, -1, 0), 7), rotated(cv::ROTATE_90_CLOCKWISE)));
  EXPECT_TRUE(are_equal(frame(shown_by(-1, 0, 0, -1), 7), rotated(cv::ROTATE_180)));
  EXPECT_TRUE(are_equal(frame(shown_by(0, -1, 1, 0), 7), rotated(cv::ROTATE_90_COUNTERCLOCKWISE)));
  EXPECT_TRUE(are_equal(frame(shown_by(-1, 0, 0, 1), 7), flipped(1)));
  EXPECT_TRUE(are_equal(frame(shown_by(1, 0, 0, -1), 7), flipped(0)));
  const InferenceVideo portrait = shown_by(0, 1, -1, 0);
  EXPECT_EQ(portrait.height, 448);
  EXPECT_EQ(portrait.width, 256);
  expect_parts(message_of<DataError>([&] { shown_by(1, 1, -1, 1); }),
               {"turned.mp4", "no multiple of 90 degrees"});
}

/// Bytes that this process has read so far; nothing where the system does not say.
std::optional<int64_t> bytes_read() {
  std::ifstream file("/proc/self/io");
  std::string name;
  int64_t bytes = 0;
  if (!(file >> name >> bytes) || name != "rchar:") return std::nullopt;
  return bytes;
}

TEST_F(VideoFileTest, DecodesOnceWhereFramesAreReadInOrder) {
  const InferenceVideo video = open_videos(clips_ / "plain.mp4").at(0);
  const auto before = bytes_read();
  if (!before) GTEST_SKIP() << "no /proc/self/io";
  for (int64_t t = 0; t < video.length; ++t) video.read(t);
  EXPECT_LT(*bytes_read() - *before, 2 * static_cast<int64_t>(plain_.size()));
}

TEST_F(VideoFileTest, CutOffIsAnErrorUnlessAskedToGoOn) {
  const auto file = clips_ / "cut_fast.mp4";
  expect_parts(message_of<DataError>([&] { open_videos(file); }),
               {"cut_fast.mp4", "the 20 frames that the container states", "got 9", "frame 8",
                "a frame is stored in part", "cut off", "--allow-broken-video"});
  const InferenceVideo rest = open_videos(file, {.allow_broken_video = true}).at(0);
  ASSERT_EQ(rest.length, 9);
  const InferenceVideo plain = open_videos(clips_ / "plain.mp4").at(0);
  for (int64_t t = 0; t < rest.length; ++t)
    EXPECT_TRUE(are_equal(frame(rest, t), frame(plain, t))) << t;
  // Without its index, which is at the end, nothing can be read.
  std::string bytes = plain_;
  const size_t index = bytes.find("moov");
  bytes.replace(index, 4, "none");
  expect_parts(message_of<DataError>([&] { open_videos(write("no_index.mp4", bytes)); }),
               {"no_index.mp4", "index"});
}

TEST_F(VideoFileTest, DamageWithinIsAnErrorThatNamesTheFrameBefore) {
  // Half of the samples' bytes, in their middle, are gone.
  std::string bytes = plain_;
  const size_t media = bytes.find("mdat");
  ASSERT_NE(media, bytes.npos);
  for (size_t i = 0; i < 20000; ++i) bytes[media + 60000 + i] = static_cast<char>(i * 37);
  const auto file = write("damaged.mp4", bytes);
  expect_parts(message_of<DataError>([&] { open_videos(file); }),
               {"damaged.mp4", "20 frames", "damaged place", "last good frame"});
  EXPECT_GT(open_videos(file, {.allow_broken_video = true}).at(0).length, 5);
  // Of a few bytes the decoder makes a frame all the same, and says so.
  bytes = plain_;
  for (size_t i = 0; i < 300; ++i) bytes[media + 60000 + i] = static_cast<char>(i * 37);
  const auto scratched = write("scratched.mp4", bytes);
  expect_parts(message_of<DataError>([&] { open_videos(scratched); }),
               {"scratched.mp4", "got 20 and 1 damaged place", "frame 7", "filled in"});
  EXPECT_EQ(open_videos(scratched, {.allow_broken_video = true}).at(0).length, 20);
}

// Patches of one colour each, in the full range of BT.709, which the file states. FFmpeg's command
// line gives these colours; without the statement it would take BT.601's matrix.
TEST(VideoColours, FollowTheMatrixAndTheRangeThatTheFileStates) {
  using Colour = std::array<double, 3>;  // Y, Cb, Cr
  const std::array<Colour, 4> patches{
      {{200, 90, 200}, {60, 180, 100}, {128, 128, 128}, {150, 60, 70}}};
  const InferenceVideo video =
      open_videos(std::filesystem::path(TESSERA_SOURCE_DIR) / "tests/data/bt709_full_range.mp4")
          .at(0);
  ASSERT_EQ(video.length, 3);
  for (const int64_t t : {0, 2, 1})
    for (int64_t place = 0; place < 4; ++place) {
      const auto [y, cb, cr] = patches[static_cast<size_t>((place + t) % 4)];
      // ITU-R BT.709-6, 3: the inverse of its luma and colour differences.
      const Colour expected{y + 1.5748 * (cr - 128), y - 0.1873 * (cb - 128) - 0.4681 * (cr - 128),
                            y + 1.8556 * (cb - 128)};
      const at::Tensor pixel = video.read(t)[8 + 16 * (place / 2)][8 + 16 * (place % 2)];
      for (int64_t channel = 0; channel < 3; ++channel)
        EXPECT_NEAR(pixel[channel].item<uint8_t>(),
                    std::clamp(expected[static_cast<size_t>(channel)], 0.0, 255.0), 2)
            << "frame " << t << ", patch " << place << ", channel " << channel;
    }
}

}  // namespace
}  // namespace tessera::data
