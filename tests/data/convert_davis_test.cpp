#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "launcher/data/convert/convert.h"
#include "launcher/data/convert/index_masks.h"
#include "launcher/data/image_mat.h"
#include "launcher/data/label_image.h"
#include "launcher/data/synth.h"
#include "launcher/data/ytvis_writer.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::message_of;

class ConvertDavisTest : public test_support::DataTest {
 protected:
  /// A generated set, once as it is and once as DAVIS has it.
  void write_sets() const {
    SynthOptions options{.output = folder_ / "plain",
                         .videos = 3,
                         .frames = 4,
                         .height = 48,
                         .width = 70,
                         .seed = 3,
                         .format = "png"};
    write_synth(options);
    options.output = folder_ / "davis";
    options.layout = "davis";
    write_synth(options);
  }
  void write_sets_again() const {
    std::filesystem::remove_all(folder_ / "plain");
    std::filesystem::remove_all(folder_ / "davis");
    write_sets();
  }
  ConvertOptions options() const {
    ConvertOptions options;
    options.input = folder_ / "davis/Annotations";
    options.images = folder_ / "davis/JPEGImages";
    options.labels = folder_ / "davis/meta.json";
    return options;
  }
  std::filesystem::path mask(const std::string& frame) const {
    return folder_ / "davis/Annotations/0001" / (frame + ".png");
  }
  std::string message(const ConvertOptions& options) const {
    return message_of<DataError>([&] { convert_davis(options); });
  }
};

void expect_same_masks(const AnnotationFile& expected, const AnnotationFile& got) {
  ASSERT_EQ(expected.annotations.size(), got.annotations.size());
  for (size_t i = 0; i < expected.annotations.size(); ++i) {
    const Annotation& a = expected.annotations[i];
    const Annotation& b = got.annotations[i];
    EXPECT_EQ(a.video_index, b.video_index);
    EXPECT_EQ(expected.categories[a.category_index].name, got.categories[b.category_index].name);
    EXPECT_EQ(a.segmentations, b.segmentations) << "annotation " << i;
    EXPECT_EQ(a.areas, b.areas);
    EXPECT_EQ(a.bboxes, b.bboxes);
  }
}

TEST_F(ConvertDavisTest, ComesBackToThePixel) {
  write_sets();
  const AnnotationFile expected = read_annotations(folder_ / "plain/annotations.json");
  ConvertOptions with_names = options();
  for (const Category& category : expected.categories)
    with_names.categories.push_back(category.name);
  const AnnotationFile got = convert_davis(with_names);
  expect_same_masks(expected, got);
  EXPECT_EQ(expected.categories.size(), got.categories.size());
  for (size_t v = 0; v < got.videos.size(); ++v)
    EXPECT_EQ(expected.videos[v].file_names, got.videos[v].file_names);
  // And through a file.
  write_annotations(folder_ / "new/annotations.json", got, "a test");
  const AnnotationFile read = read_annotations(folder_ / "new/annotations.json");
  expect_same_masks(expected, read);
  EXPECT_EQ(read.annotations.back().id, got.annotations.back().id);
}

TEST_F(ConvertDavisTest, ObjectsWithoutNamesAreOfOneCategory) {
  write_sets();
  ConvertOptions without = options();
  without.labels.clear();
  without.category = "thing";
  const AnnotationFile got = convert_davis(without);
  ASSERT_EQ(got.categories.size(), 1U);
  EXPECT_EQ(got.categories[0].name, "thing");
}

TEST_F(ConvertDavisTest, FilesThatDoNotFitAreRefused) {
  write_sets();
  const auto frame = folder_ / "davis/JPEGImages/0001/00002.png";
  cv::Mat small = cv::Mat::zeros(10, 10, CV_8UC1);
  write_label_image(mask("00001"), small);
  expect_parts(message(options()), {"video '0001'", "frame 1", "00001.png", "70x48", "10x10"});
  write_sets_again();
  std::filesystem::remove(mask("00001"));
  expect_parts(message(options()), {"0001", "1 of 4", "00001.png", "--annotated-only"});
  ConvertOptions annotated = options();
  annotated.annotated_only = true;
  EXPECT_EQ(convert_davis(annotated).videos[0].length, 3);
  write_sets_again();
  std::filesystem::remove(frame);
  expect_parts(message(options()), {"00002.png", "expected a frame of that name"});
  write_sets_again();
  write_frame("davis/JPEGImages/0001/00002.png", 12, 12, 5);
  expect_parts(message(options()), {"00002.png", "70x48", "12x12"});
}

TEST_F(ConvertDavisTest, WhiteNeedsAMeaning) {
  write_sets();
  cv::Mat labels = cv::Mat::zeros(48, 70, CV_8UC1);
  labels(cv::Rect(3, 4, 5, 6)) = 1;
  labels(cv::Rect(30, 4, 5, 6)) = 255;
  write_label_image(mask("00001"), labels);
  ConvertOptions without = options();
  without.labels.clear();
  expect_parts(message(without), {"255", "--void"});
  without.void_label = 255;
  const auto marked = [&] {
    std::vector<uint64_t> areas;
    for (const Annotation& annotation : convert_davis(without).annotations)
      if (annotation.video_index == 0 && annotation.segmentations[1])
        areas.push_back(area(*annotation.segmentations[1]));
    return areas;
  };
  EXPECT_EQ(marked(), std::vector<uint64_t>{30});
  without.void_label = -1;
  EXPECT_EQ(marked(), (std::vector<uint64_t>{30, 30}));
}

TEST_F(ConvertDavisTest, SmoothEdgesAreNoObjects) {
  write_sets();
  // Two objects, drawn four times as large and made small again, which mixes their edges.
  cv::Mat large = cv::Mat::zeros(4 * 48, 4 * 70, CV_8UC1), small;
  large(cv::Rect(18, 18, 60, 70)) = 100;
  large(cv::Rect(150, 60, 70, 90)) = 200;
  ConvertOptions without = options();
  without.labels.clear();
  const auto write_all = [&](const cv::Mat& labels) {
    for (const char* name : {"00000", "00001", "00002", "00003"})
      write_label_image(mask(name), labels);
  };
  cv::resize(large, small, {70, 48}, 0, 0, cv::INTER_NEAREST);
  write_all(small);
  const auto objects = [&] {
    const AnnotationFile file = convert_davis(without);
    return std::count_if(file.annotations.begin(), file.annotations.end(),
                         [](const Annotation& annotation) { return annotation.video_index == 0; });
  };
  EXPECT_EQ(objects(), 2);
  cv::resize(large, small, {70, 48}, 0, 0, cv::INTER_AREA);
  write_all(small);
  expect_parts(message(without), {"video '0001'", "thin regions", "00000.png", "x 4..19"});
  without.allow_thin_labels = true;
  EXPECT_GT(objects(), 2);
  without.allow_thin_labels = false;
  // The same in colours.
  cv::Mat colours;
  cv::merge(std::vector<cv::Mat>{small, small / 2, cv::Mat::zeros(48, 70, CV_8UC1)}, colours);
  for (const char* name : {"00000", "00001", "00002", "00003"})
    cv::imwrite(mask(name).string(), colours);
  expect_parts(message(without), {"video '0001'", "thin regions"});
  // A thin object among others is one, wherever it lies.
  cv::Mat labels = cv::Mat::zeros(48, 70, CV_8UC1);
  labels(cv::Rect(5, 5, 20, 30)) = 2;
  labels(cv::Rect(25, 5, 1, 30)) = 1;  // between 2 and nothing
  labels(cv::Rect(40, 5, 20, 30)) = 3;
  labels(cv::Rect(40, 38, 20, 8)) = 4;
  write_all(labels);
  EXPECT_EQ(objects(), 4);
}

TEST_F(ConvertDavisTest, LabelsWithoutACategoryAreRefused) {
  write_sets();
  cv::Mat labels = cv::Mat::zeros(48, 70, CV_8UC1);
  labels(cv::Rect(3, 4, 5, 6)) = 77;
  write_label_image(mask("00001"), labels);
  expect_parts(message(options()), {"video '0001'", "frame 1", "label 77", "meta.json"});
  ConvertOptions other = options();
  other.categories = {"circle"};
  write_sets_again();
  expect_parts(message(other), {"--categories", "Known: circle"});
}

class LabelImageTest : public test_support::DataTest {};

TEST_F(LabelImageTest, PaletteIndicesCountAndNotTheirColours) {
  cv::Mat labels(7, 9, CV_8UC1);
  for (int i = 0; i < 63; ++i) labels.data[i] = static_cast<uint8_t>(i * 4);
  write_label_image(folder_ / "a.png", labels);
  const LabelImage read = read_label_image(folder_ / "a.png");
  EXPECT_EQ(read.coding, LabelImage::Coding::kIndex);
  cv::Mat expected;
  labels.convertTo(expected, CV_32S);
  EXPECT_EQ(cv::countNonZero(read.labels != expected), 0);
  // The file is a palette image to others: label 4 is DAVIS's dark blue.
  const cv::Mat colours = read_mat(folder_ / "a.png");
  EXPECT_EQ(colours.at<cv::Vec3b>(0, 1), cv::Vec3b(0, 0, 128));
}

TEST_F(LabelImageTest, ReadsGreyOfAnyDepthAndColours) {
  cv::Mat deep(3, 3, CV_16UC1, cv::Scalar(0));
  deep.at<uint16_t>(1, 1) = 40000;
  cv::imwrite((folder_ / "deep.png").string(), deep);
  EXPECT_EQ(read_label_image(folder_ / "deep.png").labels.at<int32_t>(1, 1), 40000);

  cv::Mat binary(3, 9, CV_8UC1, cv::Scalar(0));
  binary.at<uint8_t>(1, 8) = 255;
  cv::imwrite((folder_ / "bits.png").string(), binary, {cv::IMWRITE_PNG_BILEVEL, 1});
  EXPECT_EQ(read_label_image(folder_ / "bits.png").labels.at<int32_t>(1, 8), 1);

  cv::Mat colours(3, 3, CV_8UC3, cv::Scalar(0, 0, 0));
  colours.at<cv::Vec3b>(2, 0) = {3, 2, 1};  // B, G, R
  cv::imwrite((folder_ / "colours.png").string(), colours);
  const LabelImage read = read_label_image(folder_ / "colours.png");
  EXPECT_EQ(read.coding, LabelImage::Coding::kColour);
  EXPECT_EQ(read.labels.at<int32_t>(2, 0), 65536 + 2 * 256 + 3);
}

TEST_F(LabelImageTest, RefusesWhatLosesLabels) {
  const auto message = [&](const std::string& name) {
    return message_of<DataError>([&] { read_label_image(folder_ / name); });
  };
  write_frame("photo.jpg", 8, 8, 3);
  expect_parts(message("photo.jpg"), {"photo.jpg", "PNG"});
  cv::Mat clear(3, 3, CV_8UC4, cv::Scalar(1, 2, 3, 100));
  cv::imwrite((folder_ / "clear.png").string(), clear);
  expect_parts(message("clear.png"), {"clear.png", "transparent"});
  cv::Mat labels = cv::Mat::ones(30, 30, CV_8UC1);
  write_label_image(folder_ / "whole.png", labels);
  std::string bytes = read(folder_ / "whole.png");
  write("cut.png", bytes.substr(0, bytes.size() / 2));
  expect_parts(message("cut.png"), {"cut.png", "cut off"});
}

/// A header that lies about the size must not make anyone allocate it.
TEST_F(LabelImageTest, RefusesSizesThatNobodyCanHold) {
  cv::Mat labels = cv::Mat::ones(30, 30, CV_8UC1);
  write_label_image(folder_ / "a.png", labels);
  std::string bytes = read(folder_ / "a.png");
  bytes.replace(16, 8, std::string("\x3b\x9a\xca\x00\x3b\x9a\xca\x00", 8));
  write("huge.png", bytes);
  const std::string message =
      message_of<DataError>([&] { read_label_image(folder_ / "huge.png"); });
  expect_parts(message, {"huge.png", "1000000000 x 1000000000"});
  EXPECT_EQ(message, message_of<DataError>([&] { read_mat(folder_ / "huge.png"); }));
}

}  // namespace
}  // namespace tessera::data
