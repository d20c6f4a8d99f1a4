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
  EXPECT_EQ(
      open_videos(folder_ / "set/annotations.json", {.images = folder_ / "set/frames"}).size(), 2U);
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

TEST_F(FrameSourceTest, LeavesNoFrameOutSilently) {
  const auto message = [&](const std::string& name) {
    return message_of<DataError>([&] { open_videos(folder_ / name); });
  };
  write_frame("link/0.png", 4, 6, 0);
  std::filesystem::create_symlink("gone.png", folder_ / "link/1.png");
  expect_parts(message("link"), {"link/1.png", "gone.png", "not there"});
  std::filesystem::create_directories(folder_ / "links/v");
  std::filesystem::create_symlink("elsewhere", folder_ / "links/w");
  write_frame("links/v/0.png", 4, 6, 0);
  expect_parts(message("links"), {"links/w", "elsewhere"});
  // Two files of one frame.
  for (const auto& [one, other] : {std::pair("07.png", "07.jpg"), std::pair("07.png", "07.PNG"),
                                   std::pair("07.png", "7.png"), std::pair("a0.png", "a00.jpg")}) {
    std::filesystem::remove_all(folder_ / "twice");
    write_frame("twice/" + std::string(one), 4, 6, 0);
    std::filesystem::copy_file(folder_ / "twice" / one, folder_ / "twice" / other);
    expect_parts(message("twice"), {"twice", one, other, "one image for each frame"});
  }
  for (const char* other : {"70.png", "7a.png", "0.7.png"})
    write_frame("once/" + std::string(other), 4, 6, 0);
  write_frame("once/7.png", 4, 6, 0);
  EXPECT_EQ(open_videos(folder_ / "once")[0].length, 4);
  // Frames beside folders of frames, at both levels.
  write_frame("levels/cover.png", 4, 6, 0);
  write_frame("levels/v/0.png", 4, 6, 0);
  expect_parts(message("levels"), {"levels", "cover.png", "both", "v"});
  write_frame("deeper/v/cover.png", 4, 6, 0);
  write_frame("deeper/v/img1/0.png", 4, 6, 0);
  expect_parts(message("deeper"), {"deeper/v", "cover.png", "img1"});
}

TEST_F(FrameSourceTest, ReadsTheLayoutOfMotChallengeOrNamesWhatIsThere) {
  for (const std::string video : {"b", "a"}) {
    write_frame("mot/" + video + "/img1/000001.png", 4, 6, 1);
    write_frame("mot/" + video + "/img1/000002.png", 4, 6, 2);
    write("mot/" + video + "/seqinfo.ini", "[Sequence]");
  }
  std::filesystem::create_directories(folder_ / "mot/empty");
  std::vector<std::string> warnings;
  const auto videos = open_videos(folder_ / "mot", {}, &warnings);
  ASSERT_EQ(videos.size(), 2U);
  EXPECT_EQ(videos[0].name, "a");
  EXPECT_EQ(videos[1].name, "b");
  EXPECT_EQ(videos[1].length, 2);
  ASSERT_EQ(warnings.size(), 1U);
  expect_parts(warnings[0], {"left out", "empty"});
  write_frame("other/480p/v/0.png", 4, 6, 1);
  expect_parts(message_of<DataError>([&] { open_videos(folder_ / "other"); }),
               {"other", "480p/v (1 images)"});
  write("films/a.mp4", "");
  std::filesystem::create_directories(folder_ / "films");
  write("films/a.mp4", "");
  expect_parts(message_of<DataError>([&] { open_videos(folder_ / "films"); }),
               {"films", "1 that end in .mp4"});
}

TEST_F(FrameSourceTest, FindsFilesWhoseNamesAreWrittenOtherwise) {
  write_synth({.output = folder_ / "set", .videos = 1, .frames = 3, .height = 32, .width = 40});
  auto document = test_support::Json::parse(read(folder_ / "set/annotations.json"));
  const auto open = [&](const std::vector<std::string>& names) {
    document["videos"][0]["file_names"] = names;
    write("set/ANNOTATIONS.JSON", document.dump());
    return open_videos(folder_ / "set/ANNOTATIONS.JSON").at(0);
  };
  const at::Tensor second = open({"0001/00000.jpg", "0001/00001.jpg", "0001/00002.jpg"}).read(1);
  const InferenceVideo windows = open({"0001\\00000.jpg", "0001\\00001.jpg", "0001\\00002.jpg"});
  EXPECT_EQ(windows.name, "0001");
  EXPECT_TRUE(at::equal(windows.read(1), second));
  EXPECT_TRUE(
      at::equal(open({"0001/00000.JPG", "0001/00001.JPG", "0001/00002.Jpg"}).read(1), second));
  std::filesystem::rename(folder_ / "set/frames/0001/00001.jpg",
                          folder_ / "set/frames/0001/00001.JPG");
  EXPECT_TRUE(
      at::equal(open({"0001/00000.jpg", "0001\\00001.jpg", "0001/00002.jpg"}).read(1), second));
  // A file that is there under the very name counts first.
  std::filesystem::copy_file(folder_ / "set/frames/0001/00001.JPG",
                             folder_ / "set/frames/0001\\00000.jpg");
  EXPECT_TRUE(
      at::equal(open({"0001\\00000.jpg", "0001/00001.jpg", "0001/00002.jpg"}).read(0), second));
  expect_parts(message_of<DataError>([&] {
                 open({"..\\..\\x.jpg", "0001/00001.jpg", "0001/00002.jpg"});
               }),
               {"../../x.jpg", "within the data folder"});
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
