#include "launcher/data/frame_source.h"

#include <opencv2/videoio.hpp>

#include "launcher/data/natural_order.h"
#include "launcher/data/synth.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::message_of;

class FrameSourceTest : public test_support::DataTest {};
class ImageFileTest : public test_support::DataTest {};

int red(const at::Tensor& frame) {
  return frame[0][0][0].item<uint8_t>();
}

TEST_F(ImageFileTest, KeepsEveryPixelAndTheOrderOfChannels) {
  const at::Tensor image = at::randint(0, 256, {7, 5, 3}).to(at::kByte);
  write_image(folder_ / "a.png", image);
  EXPECT_TRUE(at::equal(read_image(folder_ / "a.png"), image));
}

TEST_F(ImageFileTest, NamesMissingBrokenAndCutOffFiles) {
  expect_parts(message_of<DataError>([&] { read_image(folder_ / "none.png"); }), {"none.png"});
  write("bad.jpg", "no image at all");
  expect_parts(message_of<DataError>([&] { read_image(folder_ / "bad.jpg"); }), {"bad.jpg"});
  write("empty.jpg", "");
  expect_parts(message_of<DataError>([&] { read_image(folder_ / "empty.jpg"); }), {"empty.jpg"});
  const at::Tensor noise = at::randint(0, 256, {64, 64, 3}).to(at::kByte);
  for (const std::string name : {"cut.jpg", "cut.png"}) {
    write_image(folder_ / name, noise);
    read_image(folder_ / name);
    const std::string bytes = read(folder_ / name);
    for (const size_t length : {bytes.size() - 4, bytes.size() / 2, size_t{40}, size_t{3}}) {
      write(name, bytes.substr(0, length));
      expect_parts(message_of<DataError>([&] { read_image(folder_ / name); }), {name});
    }
  }
}

TEST_F(ImageFileTest, RefusesToWriteUnknownFormatsAndOtherShapes) {
  const at::Tensor image = at::zeros({4, 4, 3}, at::kByte);
  expect_parts(message_of<RuntimeError>([&] { write_image(folder_ / "a.unknown", image); }),
               {"a.unknown", ".png"});
  expect_parts(message_of<RuntimeError>([&] { write_image(folder_ / "no/a.png", image); }),
               {"no/a.png"});
  EXPECT_THROW(write_image(folder_ / "a.png", at::zeros({3, 4, 4}, at::kByte)), ShapeError);
}

TEST(NaturalOrder, CountsAsPeopleDo) {
  EXPECT_TRUE(natural_less("frame2", "frame10"));
  EXPECT_FALSE(natural_less("frame10", "frame2"));
  EXPECT_TRUE(natural_less("2a", "02b"));
  EXPECT_TRUE(natural_less("a", "a1"));
  EXPECT_FALSE(natural_less("a1", "a1"));
  EXPECT_NE(natural_less("a01", "a1"), natural_less("a1", "a01"));
  EXPECT_TRUE(natural_less("0", "1"));
}

TEST_F(FrameSourceTest, ReadsAFolderInNaturalOrder) {
  for (const int i : {10, 2, 1}) write_frame("walk/" + std::to_string(i) + ".png", 4, 6, i);
  write("walk/notes.txt", "not a frame");
  const auto videos = open_videos(folder_ / "walk");
  ASSERT_EQ(videos.size(), 1U);
  EXPECT_EQ(videos[0].name, "walk");
  EXPECT_EQ(videos[0].length, 3);
  EXPECT_EQ(videos[0].width, 6);
  EXPECT_EQ(red(videos[0].read(0)), 1);
  EXPECT_EQ(red(videos[0].read(1)), 2);
  EXPECT_EQ(red(videos[0].read(2)), 10);
}

TEST_F(FrameSourceTest, ReadsAFolderOfFolders) {
  write_frame("all/v10/0.png", 4, 6, 10);
  write_frame("all/v9/0.png", 5, 6, 9);
  const auto videos = open_videos(folder_ / "all");
  ASSERT_EQ(videos.size(), 2U);
  EXPECT_EQ(videos[0].name, "v9");
  EXPECT_EQ(videos[0].height, 5);
  EXPECT_EQ(videos[1].id, 2);
  EXPECT_EQ(red(videos[1].read(0)), 10);
}

TEST_F(FrameSourceTest, ReadsTheVideosOfAnAnnotationFile) {
  write_synth({.output = folder_ / "set", .videos = 2, .frames = 3, .height = 32, .width = 40});
  const auto videos = open_videos(folder_ / "set/annotations.json");
  ASSERT_EQ(videos.size(), 2U);
  EXPECT_EQ(videos[1].id, 2);
  EXPECT_EQ(videos[1].name, "0002");
  EXPECT_EQ(videos[1].length, 3);
  EXPECT_TRUE(at::equal(videos[1].read(2), read_image(folder_ / "set/frames/0002/00002.jpg")));
  EXPECT_EQ(open_videos(folder_ / "set/annotations.json", folder_ / "set/frames").size(), 2U);
  std::filesystem::rename(folder_ / "set/frames", folder_ / "set/elsewhere");
  expect_parts(message_of<DataError>([&] { open_videos(folder_ / "set/annotations.json"); }),
               {"annotations.json", "JPEGImages"});
}

TEST_F(FrameSourceTest, ReadsAVideoFileInAnyOrder) {
  const auto file = folder_ / "clip.avi";
  {
    cv::VideoWriter writer(file.string(), cv::VideoWriter::fourcc('M', 'J', 'P', 'G'), 10,
                           cv::Size(64, 48));
    if (!writer.isOpened()) GTEST_SKIP() << "this OpenCV cannot write MJPEG";
    for (int t = 0; t < 5; ++t)
      writer.write(cv::Mat(48, 64, CV_8UC3, cv::Scalar(0, 0, 40 * t)));  // BGR
  }
  const auto videos = open_videos(file);
  ASSERT_EQ(videos.size(), 1U);
  EXPECT_EQ(videos[0].name, "clip");
  EXPECT_EQ(videos[0].length, 5);
  EXPECT_EQ(videos[0].height, 48);
  for (const int64_t t : {4, 0, 2, 3, 3, 1})
    EXPECT_NEAR(red(videos[0].read(t)), 40 * t, 6) << "frame " << t;
  expect_parts(message_of<DataError>([&] { videos[0].read(5); }), {"clip.avi", "frame 5", "5"});
}

TEST_F(FrameSourceTest, NamesWhatCannotBeRead) {
  expect_parts(message_of<DataError>([&] { open_videos(folder_ / "none.mp4"); }), {"none.mp4"});
  write("bad.mp4", "no video");
  expect_parts(message_of<DataError>([&] { open_videos(folder_ / "bad.mp4"); }), {"bad.mp4"});
  std::filesystem::create_directories(folder_ / "empty");
  expect_parts(message_of<DataError>([&] { open_videos(folder_ / "empty"); }), {"empty", ".jpg"});
  write_frame("mixed/1.png", 4, 6, 1);
  write_frame("mixed/2.png", 6, 4, 1);
  const auto videos = open_videos(folder_ / "mixed");
  expect_parts(message_of<DataError>([&] { videos[0].read(1); }),
               {"mixed/2.png", "frame 1", "6x4", "4x6"});
}

}  // namespace
}  // namespace tessera::data
