// What images state besides their pixels: an orientation, more than 8 bits; and their headers.

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "launcher/data/image_header.h"
#include "launcher/data/image_mat.h"
#include "launcher/data/turn.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::message_of;

class ImageRulesTest : public test_support::DataTest {
 protected:
  static cv::Mat picture() {
    cv::Mat image(16, 24, CV_8UC3);
    cv::randu(image, 0, 255);
    return image;
  }
  std::string encoded(const std::string& ending, const cv::Mat& image) const {
    std::vector<uint8_t> bytes;
    cv::imencode(ending, image, bytes);
    return {bytes.begin(), bytes.end()};
  }
  /// A TIFF directory with an orientation alone, as EXIF is.
  static std::string exif(int orientation) {
    std::string tiff("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18);
    tiff += static_cast<char>(orientation);
    return tiff + std::string(7, '\0');
  }
  std::string jpeg_with(int orientation) const {
    const std::string data = std::string("Exif\0\0", 6) + exif(orientation);
    const size_t length = data.size() + 2;
    std::string segment = "\xff\xe1";
    segment += static_cast<char>(length >> 8);
    segment += static_cast<char>(length & 255);
    std::string bytes = encoded(".jpg", picture_);
    return bytes.insert(2, segment + data);
  }
  std::string png_with(int orientation) const {
    const std::string data = exif(orientation);
    std::string chunk("\0\0\0", 3);
    chunk += static_cast<char>(data.size());
    chunk += "eXIf" + data + std::string(4, '\0');  // decoders skip a chunk with another checksum
    std::string bytes = encoded(".png", picture_);
    return bytes.insert(33, chunk);
  }

  const cv::Mat picture_ = picture();
};

TEST_F(ImageRulesTest, OrientationsAreAppliedOnlyWhereAsked) {
  // What OpenCV makes of each orientation.
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string bytes = jpeg_with(orientation);
    const auto file = write("a.jpg", bytes);
    ASSERT_EQ(read_image_header(bytes)->orientation, orientation);
    cv::Mat stored, shown;
    cv::cvtColor(cv::imread(file.string(), cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION),
                 stored, cv::COLOR_BGR2RGB);
    cv::cvtColor(cv::imread(file.string(), cv::IMREAD_COLOR), shown, cv::COLOR_BGR2RGB);
    EXPECT_EQ(cv::norm(read_mat(file), stored, cv::NORM_INF), 0) << orientation;
    const ReducedImage turned = read_reduced(file, 1, {.turn_by_exif = true});
    ASSERT_EQ(turned.rgb.size(), shown.size()) << orientation;
    EXPECT_EQ(turned.whole_size, shown.size());
    EXPECT_EQ(cv::norm(turned.rgb, shown, cv::NORM_INF), 0) << orientation;
    EXPECT_EQ(read_reduced(file, 2, {.turn_by_exif = true}).rgb.rows, shown.rows / 2);
  }
  EXPECT_FALSE(turn_of_exif(0));
  EXPECT_FALSE(turn_of_exif(9));
}

TEST_F(ImageRulesTest, OrientationsOfOtherFormatsAreFound) {
  EXPECT_EQ(read_image_header(png_with(6))->orientation, 6);
  EXPECT_EQ(read_image_header(encoded(".png", picture_))->orientation, 1);
  EXPECT_EQ(read_image_header(encoded(".tif", picture_))->orientation, 1);
  std::string webp = encoded(".webp", picture_);
  webp = "RIFF" + webp.substr(4, 4) + "WEBP" +
         std::string("VP8X\x0a\0\0\0\x08\0\0\0\x17\0\0\x0f\0\0", 18) + webp.substr(12);
  if (webp.size() % 2 != 0) webp += '\0';
  const std::string data = exif(8);
  webp += std::string("EXIF") + static_cast<char>(data.size()) + std::string(3, '\0') + data;
  EXPECT_EQ(read_image_header(webp)->orientation, 8);
}

TEST_F(ImageRulesTest, SizeErrorsNameTheOrientation) {
  const auto file = write("a.jpg", jpeg_with(6));
  expect_parts(orientation_hint(file, {}), {"EXIF orientation 6", "not applied", "16x24"});
  expect_parts(orientation_hint(file, {.turn_by_exif = true}), {"applied"});
  EXPECT_EQ(orientation_hint(write("b.jpg", jpeg_with(1)), {}), "");
  EXPECT_EQ(orientation_hint(folder_ / "none.jpg", {}), "");
}

TEST_F(ImageRulesTest, DeepImagesUseTheirWhiteLevel) {
  cv::Mat deep(4, 5, CV_16UC1, cv::Scalar(1024));
  deep.at<uint16_t>(2, 3) = 4095;
  for (const std::string name : {"deep.png", "deep.tif"}) {
    const auto file = folder_ / name;
    cv::imwrite(file.string(), deep);
    EXPECT_EQ(read_image_header(read(file))->bits, 16) << name;
    EXPECT_EQ(read_mat(file).at<cv::Vec3b>(2, 3), cv::Vec3b(15, 15, 15)) << name;
    const cv::Mat bright = read_mat(file, {.white_level = 4095});
    EXPECT_EQ(bright.at<cv::Vec3b>(2, 3), cv::Vec3b(255, 255, 255)) << name;
    EXPECT_EQ(bright.at<cv::Vec3b>(0, 0), cv::Vec3b(64, 64, 64)) << name;
    EXPECT_EQ(read_mat(file, {.white_level = 2000}).at<cv::Vec3b>(2, 3)[0], 255);
    EXPECT_EQ(unused_range(file, {}), 4095) << name;
    EXPECT_FALSE(unused_range(file, {.white_level = 4095}));
    expect_parts(warn_of_image(file, {}), {name, "4095", "white_level"});
  }
  deep.at<uint16_t>(2, 3) = 40000;
  cv::imwrite((folder_ / "full.png").string(), deep);
  EXPECT_FALSE(unused_range(folder_ / "full.png", {}));
  write_frame("usual.png", 4, 5, 9);
  EXPECT_EQ(warn_of_image(folder_ / "usual.png", {}), "");
}

// Cameras and editors leave bytes between the segments; decoders skip them, so the header does.
TEST_F(ImageRulesTest, StrayBytesInAJpegDoNotMakeItCutOff) {
  const std::string bytes = encoded(".jpg", picture_);
  const size_t second = 4 + static_cast<size_t>(static_cast<uint8_t>(bytes[4]) * 256 +
                                                static_cast<uint8_t>(bytes[5]));
  for (const std::string& stray : {std::string(2, '\0'), std::string("\x12\xff\0\x34", 4)}) {
    std::string mixed = bytes;
    mixed.insert(second, stray);
    const auto file = write("stray.jpg", mixed);
    EXPECT_EQ(cv::norm(read_mat(file), read_mat(write("plain.jpg", bytes)), cv::NORM_INF), 0);
  }
  write("cut.jpg", bytes.substr(0, bytes.size() / 2));
  expect_parts(message_of<DataError>([&] { read_mat(folder_ / "cut.jpg"); }), {"cut off"});
}

TEST_F(ImageRulesTest, WhatIsNoImageIsNamed) {
  const auto message = [&](const std::string& bytes) {
    return message_of<DataError>([&] { read_mat(write("a.jpg", bytes)); });
  };
  expect_parts(message("missing.jpg"), {"a.jpg", "'missing.jpg'", "link"});
  expect_parts(message("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), {"Git LFS"});
  expect_parts(message("<!DOCTYPE html><html>"), {"HTML page"});
  expect_parts(message(""), {"empty file"});
}

}  // namespace
}  // namespace tessera::data
