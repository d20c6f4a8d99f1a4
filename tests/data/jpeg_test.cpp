#include "launcher/data/jpeg.h"

#include <gtest/gtest.h>
#include <turbojpeg.h>

#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "launcher/data/image_mat.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

/// A picture of 45x71 with edges in all colours; sides that no reduction divides.
cv::Mat picture(int type) {
  cv::Mat image(45, 71, type);
  cv::randu(image, 0, 255);
  cv::GaussianBlur(image, image, {0, 0}, 2);
  cv::rectangle(image, {20, 10, 30, 20}, {250, 10, 120}, cv::FILLED);
  return image;
}

std::string encoded(const cv::Mat& image, const std::vector<int>& options = {}) {
  std::vector<uint8_t> bytes;
  cv::imencode(".jpg", image, bytes, options);
  return {bytes.begin(), bytes.end()};
}

class Jpeg : public testing::TestWithParam<int> {};

TEST_P(Jpeg, PixelsAreThoseOfOpenCv) {
  const int reduction = GetParam();
  const int flags = reduction == 1   ? cv::IMREAD_COLOR
                    : reduction == 2 ? cv::IMREAD_REDUCED_COLOR_2
                    : reduction == 4 ? cv::IMREAD_REDUCED_COLOR_4
                                     : cv::IMREAD_REDUCED_COLOR_8;
  const std::vector<int> progressive{cv::IMWRITE_JPEG_PROGRESSIVE, 1, cv::IMWRITE_JPEG_QUALITY, 70};
  for (const std::string& bytes : {encoded(picture(CV_8UC3)), encoded(picture(CV_8UC1)),
                                   encoded(picture(CV_8UC3), progressive)}) {
    cv::Mat goal = cv::imdecode(std::vector<uint8_t>(bytes.begin(), bytes.end()), flags);
    cv::cvtColor(goal, goal, cv::COLOR_BGR2RGB);
    const cv::Mat found = decode_jpeg(bytes, reduction);
    ASSERT_EQ(found.size(), goal.size());
    EXPECT_EQ(cv::norm(found, goal, cv::NORM_INF), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Reductions, Jpeg, testing::Values(1, 2, 4, 8));

/// Four inks, as printers' files have.
std::string encoded_cmyk(int height, int width) {
  const std::vector<uint8_t> inks(static_cast<size_t>(height * width * 4), 90);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const std::unique_ptr<void, int (*)(void*)> encoder(tjInitCompress(), tjDestroy);
  tjCompress2(encoder.get(), inks.data(), width, 0, height, TJPF_CMYK, &bytes, &size, TJSAMP_444,
              90, 0);
  const std::string result(reinterpret_cast<char*>(bytes), size);
  tjFree(bytes);
  return result;
}

class JpegFile : public test_support::DataTest {};

TEST_F(JpegFile, ReducedImageStatesTheStoredSize) {
  const ReducedImage image = read_reduced(write("a.jpg", encoded(picture(CV_8UC3))), 4);
  EXPECT_EQ(image.whole_size, cv::Size(71, 45));
  EXPECT_EQ(image.rgb.size(), cv::Size(18, 12));
}

TEST_F(JpegFile, FourInksAreLeftToOpenCv) {
  const std::string bytes = encoded_cmyk(8, 16);
  EXPECT_TRUE(decode_jpeg(bytes, 1).empty());
  const ReducedImage image = read_reduced(write("inks.jpg", bytes), 2);
  EXPECT_EQ(image.whole_size, cv::Size(16, 8));
  EXPECT_EQ(image.rgb.size(), cv::Size(16, 8));
  EXPECT_EQ(image.rgb.type(), CV_8UC3);
}

TEST_F(JpegFile, BrokenTablesAreNamed) {
  std::string bytes = encoded(picture(CV_8UC3));
  const size_t tables = bytes.find("\xff\xc4");  // Huffman tables: lengths that make no code
  ASSERT_NE(tables, bytes.npos);
  for (size_t i = 5; i < 21; ++i) bytes[tables + i] = '\xff';
  const auto file = write("broken.jpg", bytes);
  const std::string message = test_support::message_of<DataError>([&] { read_reduced(file, 2); });
  EXPECT_NE(message.find("broken.jpg"), std::string::npos) << message;
  EXPECT_NE(message.find("expected a JPEG image"), std::string::npos) << message;
}

}  // namespace
}  // namespace tessera::data
