#include <opencv2/imgcodecs.hpp>

#include "launcher/data/convert/convert.h"
#include "launcher/data/convert/label_number.h"
#include "launcher/data/stats.h"
#include "launcher/data/synth.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::Json;
using test_support::message_of;

/// A generated set, written out as others have it.
class ConvertFormatsTest : public test_support::DataTest {
 protected:
  void SetUp() override {
    DataTest::SetUp();
    write_synth({.output = folder_ / "set",
                 .videos = 3,
                 .frames = 4,
                 .height = 48,
                 .width = 70,
                 .seed = 5,
                 .format = "png"});
    expected_ = read_annotations(folder_ / "set/annotations.json");
    options_.images = folder_ / "set/frames";
    for (const Category& category : expected_.categories)
      options_.categories.push_back(category.name);
  }

  /// Single frames in another order than time, with large track ids.
  Json coco(bool compressed) const {
    Json file = {
        {"images", Json::array()}, {"annotations", Json::array()}, {"categories", Json::array()}};
    for (const Category& category : expected_.categories)
      file["categories"].push_back({{"id", category.id}, {"name", category.name}});
    for (const Video& video : expected_.videos)
      for (int64_t t = video.length - 1; t >= 0; --t)
        file["images"].push_back({{"id", 100 * video.id + t},
                                  {"video_id", video.id},
                                  {"frame_id", t},
                                  {"width", video.width},
                                  {"height", video.height},
                                  {"file_name", video.file_names[static_cast<size_t>(t)]}});
    for (const Annotation& annotation : expected_.annotations)
      for (size_t t = 0; t < annotation.segmentations.size(); ++t) {
        Json mask = nullptr;
        if (const auto& rle = annotation.segmentations[t])
          mask = {{"size", {rle->height, rle->width}},
                  {"counts", compressed ? Json(encode_counts(*rle)) : Json(rle->counts)}};
        file["annotations"].push_back({{"id", file["annotations"].size()},
                                       {"image_id", 100 * annotation.video_id + t},
                                       {"category_id", annotation.category_id},
                                       {"track_id", 9007199254740993 + annotation.id},
                                       {"segmentation", mask}});
      }
    return file;
  }
  AnnotationFile convert(const Json& file) const {
    std::ofstream(folder_ / "coco.json") << file.dump();
    ConvertOptions options = options_;
    options.input = folder_ / "coco.json";
    return convert_coco(options);
  }

  /// Pedestrians and cars; MOTS knows no other.
  void write_mots(const std::string& extra = "") const {
    std::filesystem::create_directories(folder_ / "mots");
    for (const Video& video : expected_.videos) {
      std::ofstream out(folder_ / "mots" / (video.file_names[0].substr(0, 4) + ".txt"));
      for (size_t t = 0; t < static_cast<size_t>(video.length); ++t)
        for (const Annotation& annotation : expected_.annotations)
          if (annotation.video_id == video.id && annotation.segmentations[t])
            out << t << ' ' << 1000 + annotation.id << ' ' << 1 + annotation.category_index % 2
                << ' ' << video.height << ' ' << video.width << ' '
                << encode_counts(*annotation.segmentations[t]) << '\n';
      out << extra;
    }
  }

  void expect_same_masks(const AnnotationFile& got) const {
    ASSERT_EQ(expected_.annotations.size(), got.annotations.size());
    for (size_t i = 0; i < got.annotations.size(); ++i) {
      EXPECT_EQ(expected_.annotations[i].video_index, got.annotations[i].video_index);
      EXPECT_EQ(expected_.annotations[i].segmentations, got.annotations[i].segmentations);
      EXPECT_EQ(expected_.annotations[i].areas, got.annotations[i].areas);
    }
    for (size_t v = 0; v < got.videos.size(); ++v)
      EXPECT_EQ(expected_.videos[v].file_names, got.videos[v].file_names);
  }

  AnnotationFile expected_;
  ConvertOptions options_;
};

TEST_F(ConvertFormatsTest, CocoFramesComeBackToThePixel) {
  for (const bool compressed : {true, false}) {
    const AnnotationFile got = convert(coco(compressed));
    expect_same_masks(got);
    for (size_t i = 0; i < got.annotations.size(); ++i)
      EXPECT_EQ(expected_.annotations[i].category_id, got.annotations[i].category_id);
  }
}

TEST_F(ConvertFormatsTest, FaultsOfCocoFramesAreNamed) {
  const auto message = [&](const Json& file) {
    return message_of<DataError>([&] { convert(file); });
  };
  Json file = coco(true);
  size_t with_mask = 0;
  while (file["annotations"][with_mask]["segmentation"].is_null()) ++with_mask;
  file["annotations"][with_mask].erase("track_id");
  expect_parts(message(file),
               {"coco.json", "annotation " + std::to_string(with_mask), "'track_id'"});
  file = coco(true);
  file["images"][1]["frame_id"] = file["images"][0]["frame_id"];
  expect_parts(message(file), {"coco.json", "video '1'", "'frame_id'", "second time"});
  file = coco(true);
  file["images"][1].erase("frame_id");
  expect_parts(message(file), {"video '1'", "'frame_id' in all"});
  file = coco(true);
  file["images"][1]["width"] = 71;
  expect_parts(message(file), {"video '1'", "70x48", "71x48"});
  file = coco(true);
  file["images"][0]["file_name"] = "../../secret.png";
  expect_parts(message(file), {"images[0]", "within the data folder"});
  file = coco(true);
  // Two masks of one track, of two categories.
  const Json& list = file["annotations"];
  size_t first = 0;
  while (list[first]["segmentation"].is_null() || list[first + 1]["segmentation"].is_null() ||
         list[first]["track_id"] != list[first + 1]["track_id"])
    ++first;
  const std::string second = "annotation " + std::to_string(first + 1);
  const auto frame_of = [&](size_t i) {
    return "frame " + std::to_string(list[i]["image_id"].get<int64_t>() % 100);
  };
  const std::string second_frame = frame_of(first + 1);
  file["annotations"][first + 1]["category_id"] =
      1 + file["annotations"][first]["category_id"].get<int>() % 5;
  expect_parts(message(file), {second, second_frame, "category"});
  file = coco(true);
  file["images"][0]["file_name"] = file["images"][1]["file_name"];
  expect_parts(message(file), {"video '1'", "every file once"});
}

TEST_F(ConvertFormatsTest, PartsOfAnObjectAreJoined) {
  Json file = coco(true);
  const Json whole = file["annotations"];
  for (const Json& annotation : whole) {
    if (annotation["segmentation"].is_null()) continue;
    // A half, and the whole mask with it once more.
    const auto counts = annotation["segmentation"]["counts"].get<std::string>();
    const Rle rle = decode_counts(counts, 48, 70);
    std::vector<uint8_t> mask = to_mask(rle);
    for (size_t i = 0; i < mask.size() / 2; ++i) mask[i] = 0;
    Json part = annotation;
    part["id"] = file["annotations"].size();
    part["segmentation"]["counts"] = encode_counts(from_mask(mask, 48, 70));
    file["annotations"].push_back(part);
  }
  ConvertCounts counts;
  options_.counts = &counts;
  expect_same_masks(convert(file));
  ASSERT_EQ(counts.size(), 1U);
  EXPECT_GT(counts.begin()->second, 0);
}

TEST_F(ConvertFormatsTest, CvatKeepsTheTrackInItsAttributes) {
  Json file = coco(true);
  for (Json& annotation : file["annotations"]) {
    annotation["attributes"] = {{"occluded", false}, {"track_id", annotation["track_id"]}};
    annotation.erase("track_id");
  }
  expect_same_masks(convert(file));
  // The mark of an object that has left counts more than the mask that was left behind.
  size_t left = 0;
  while (file["annotations"][left]["segmentation"].is_null()) ++left;
  ConvertCounts counts;
  options_.counts = &counts;
  for (const Json& outside : {Json(true), Json(1), Json("true")}) {
    file["annotations"][left]["attributes"]["outside"] = outside;
    counts.clear();
    const AnnotationFile got = convert(file);
    int64_t masks = 0, expected = 0;
    for (const Annotation& annotation : got.annotations)
      for (const auto& mask : annotation.segmentations) masks += mask.has_value();
    for (const Annotation& annotation : expected_.annotations)
      for (const auto& mask : annotation.segmentations) expected += mask.has_value();
    EXPECT_EQ(masks, expected - 1);
    EXPECT_EQ(counts.at("annotations outside the frame, left out"), 1);
  }
}

TEST_F(ConvertFormatsTest, BoxesWithoutMasksAreCounted) {
  Json file = coco(true);
  const auto message = [&] { return message_of<DataError>([&] { convert(file); }); };
  const size_t all = file["annotations"].size();
  size_t masks = 0;
  for (Json& annotation : file["annotations"]) {
    annotation["bbox"] = {1, 2, 3, 4};
    masks += !annotation["segmentation"].is_null();
  }
  const std::string none = std::to_string(all - masks) + " of " + std::to_string(all);
  expect_parts(message(), {"'segmentation'", none, "boxes", "--skip-unusable"});
  ConvertCounts counts;
  options_.counts = &counts;
  options_.skip_unusable = true;
  expect_same_masks(convert(file));
  EXPECT_EQ(counts.at("annotations without a mask, left out"), static_cast<int64_t>(all - masks));
  // All of them, as detection sets have it.
  for (const Json& empty : {Json(nullptr), Json::array(), Json::array({Json::array()})}) {
    for (Json& annotation : file["annotations"]) annotation["segmentation"] = empty;
    expect_parts(message(),
                 {std::to_string(all) + " of " + std::to_string(all), "No mask is left"});
  }
  for (Json& annotation : file["annotations"]) annotation.erase("segmentation");
  expect_parts(message(), {"No mask is left"});
}

TEST_F(ConvertFormatsTest, WholeNumbersMayHaveAPoint) {
  Json file = coco(true);
  for (const char* list : {"images", "categories"})
    for (Json& entry : file[list]) entry["id"] = entry["id"].get<double>();
  for (Json& annotation : file["annotations"]) {
    annotation["image_id"] = annotation["image_id"].get<double>();
    annotation["category_id"] = annotation["category_id"].get<double>();
    annotation["track_id"] =
        annotation["id"].get<double>() * 0 + annotation["track_id"].get<int64_t>() % 97;
  }
  expect_same_masks(convert(file));
}

TEST_F(ConvertFormatsTest, MotsComesBackToThePixel) {
  write_mots();
  options_.categories.clear();
  options_.input = folder_ / "mots";
  const AnnotationFile got = convert_mots(options_);
  expect_same_masks(got);
  for (size_t i = 0; i < got.annotations.size(); ++i)
    EXPECT_EQ(got.categories[got.annotations[i].category_index].name,
              expected_.annotations[i].category_index % 2 == 0 ? "car" : "pedestrian");
}

TEST_F(ConvertFormatsTest, MotsTakesNumbersWithAPoint) {
  write_mots();
  options_.categories.clear();
  options_.input = folder_ / "mots";
  const AnnotationFile expected = convert_mots(options_);
  std::string text = read(folder_ / "mots/0001.txt");
  text.replace(0, text.find(' '), "0.0");
  text.replace(text.find(" 48 "), 4, " 4.8e1 ");
  write("mots/0001.txt", text);
  EXPECT_EQ(convert_mots(options_).annotations[0].segmentations,
            expected.annotations[0].segmentations);
  text.replace(0, 3, "0.5");
  write("mots/0001.txt", text);
  expect_parts(message_of<DataError>([&] { convert_mots(options_); }), {"frame", "'0.5'"});
}

TEST_F(ConvertFormatsTest, FaultsOfMotsAreNamed) {
  options_.categories.clear();
  options_.input = folder_ / "mots";
  const auto message = [&](const std::string& line) {
    write_mots(line);
    return message_of<DataError>([&] { convert_mots(options_); });
  };
  expect_parts(message("0 7 1 48 70\n"), {"0001.txt", "got 5"});
  expect_parts(message("9 7 1 48 70 PPPP\n"), {"0001.txt", "frame 9"});
  expect_parts(message("1 7 3 48 70 Pe3\n"), {"0001.txt", "frame 1"});
  expect_parts(message("1 7 1 1000000000 1000000000 11\n"), {"frame 1", "1000000000"});
  expect_parts(message("-1 7 1 48 70 11\n"), {"frame", "'-1'"});
  expect_parts(message("1 x 1 48 70 11\n"), {"object", "'x'"});
  expect_parts(message("1 7 1 48 70 \x01\x02\n"), {"0001.txt", "frame 1", "character"});
}

std::string base64(const std::string& bytes) {
  constexpr const char* kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t three = 0;
    for (size_t j = 0; j < 3; ++j)
      three = three << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j)
      text += i + j <= bytes.size() ? kLetters[three >> (18 - 6 * j) & 63u] : '=';
  }
  return text;
}

class LabelmeTest : public test_support::DataTest {
 protected:
  void SetUp() override {
    DataTest::SetUp();
    options_.input = folder_ / "labels";
    options_.images = folder_ / "frames";
    for (int t = 0; t < 3; ++t) {
      write_frame("frames/walk/" + std::to_string(t) + ".png", 30, 40, t);
      files_.push_back({{"imageWidth", 40}, {"imageHeight", 30}, {"shapes", Json::array()}});
    }
    add(0, "dog", 1, {{2, 2}, {12, 2}, {12, 12}, {2, 12}});
    add(1, "dog", 1, {{3, 2}, {13, 2}, {13, 12}, {3, 12}});
    add(1, "dog", 1, {{20, 20}, {25, 20}, {25, 25}, {20, 25}});
    add(1, "dog", 2, {{30, 2}, {38, 10}}, "rectangle");
    add(2, "cat", nullptr, {{10, 10}, {10, 15}}, "circle");
  }
  void add(size_t frame, const std::string& label, const Json& group, const Json& points,
           const std::string& kind = "polygon") {
    files_[frame]["shapes"].push_back(
        {{"label", label}, {"group_id", group}, {"points", points}, {"shape_type", kind}});
  }
  AnnotationFile convert() const {
    std::filesystem::create_directories(folder_ / "labels/walk");
    for (size_t t = 0; t < files_.size(); ++t)
      std::ofstream(folder_ / "labels/walk" / (std::to_string(t) + ".json")) << files_[t].dump();
    return convert_labelme(options_);
  }

  std::vector<Json> files_;
  ConvertOptions options_;
};

TEST_F(LabelmeTest, ShapesBecomeTracks) {
  const AnnotationFile got = convert();
  ASSERT_EQ(got.annotations.size(), 3U);
  ASSERT_EQ(got.categories.size(), 2U);
  EXPECT_EQ(got.categories[0].name, "cat");
  const auto areas = [&](size_t i) { return got.annotations[i].areas; };
  using Areas = std::vector<std::optional<double>>;
  EXPECT_EQ(areas(1), (Areas{100, 125, std::nullopt}));  // "dog 1", of two parts
  EXPECT_EQ(areas(2), (Areas{std::nullopt, 64, std::nullopt}));
  EXPECT_NEAR(areas(0)[2].value(), 78.5, 4);
  EXPECT_EQ(got.videos[0].file_names[2], "walk/2.png");
  const DataStats stats = count_data_set(got);
  EXPECT_EQ(stats.masks, 4);
  EXPECT_EQ(stats.objects_of_frame.largest, 2);
  EXPECT_EQ(stats.frames_of_object.median, 1);
  EXPECT_EQ(stats.objects_in_gaps, 0);
}

TEST_F(LabelmeTest, FaultsAreNamed) {
  const auto message = [&] { return message_of<DataError>([&] { convert(); }); };
  const auto good = files_;
  add(2, "cat", nullptr, {{1, 1}, {5, 5}}, "rectangle");
  expect_parts(message(), {"walk", "2.json", "frame 2", "'group_id'", "cat"});
  files_ = good;
  add(0, "dog", 3, {{1, 1}, {5, 5}}, "line");
  expect_parts(message(), {"0.json", "shapes[1]", "'line'", "--skip-unusable"});
  files_ = good;
  files_[1]["imageWidth"] = 41;
  expect_parts(message(), {"1.json", "'imageWidth'", "40", "41"});
  files_ = good;
  add(0, "dog", 3, {{1, 1}, {5, 5}});
  expect_parts(message(), {"0.json", "at least 3 points, got 2"});
  files_ = good;
  files_.pop_back();
  std::filesystem::remove(folder_ / "labels/walk/2.json");
  expect_parts(message(), {"2.png", "--annotated-only"});
  options_.annotated_only = true;
  EXPECT_EQ(convert().videos[0].length, 2);
  std::ofstream(folder_ / "labels/walk/1.JSON") << files_[1].dump();
  expect_parts(message(), {"1.JSON", "1.json", "one labelme file for each frame"});
}

TEST_F(LabelmeTest, ShapesWithoutAnInsideAreSkippedAndCountedIfAsked) {
  const AnnotationFile expected = convert();
  add(0, "head", nullptr, {{5, 5}}, "point");
  add(1, "head", nullptr, {{5, 5}}, "point");
  add(1, "leash", nullptr, {{5, 5}, {9, 9}}, "linestrip");
  ConvertCounts counts;
  options_.counts = &counts;
  options_.skip_unusable = true;
  const AnnotationFile got = convert();
  EXPECT_EQ(got.annotations.size(), expected.annotations.size());
  EXPECT_EQ(got.categories.size(), expected.categories.size());
  EXPECT_EQ(counts, (ConvertCounts{{"shapes of type 'linestrip', left out", 1},
                                   {"shapes of type 'point', left out", 2}}));
}

TEST_F(LabelmeTest, NumbersOfLabelsMeanWhatTheUserSays) {
  for (size_t t = 0; t < files_.size(); ++t) {
    files_[t]["shapes"] = Json::array();
    for (const char* label : {"person-1", "person-2", "car-1"})
      add(t, label, nullptr, {{2, 2}, {12, 2}, {12, 12}, {2, 12}});
  }
  expect_parts(message_of<DataError>([&] { convert(); }),
               {"'car-1'", "object 1 of the category 'car'", "--label-numbers"});
  options_.label_numbers = LabelNumbers::kObject;
  AnnotationFile got = convert();
  ASSERT_EQ(got.categories.size(), 2U);
  EXPECT_EQ(got.categories[0].name, "car");
  EXPECT_EQ(got.categories[1].name, "person");
  EXPECT_EQ(got.annotations.size(), 3U);
  options_.label_numbers = LabelNumbers::kCategory;
  got = convert();
  EXPECT_EQ(got.categories.size(), 3U);
  EXPECT_EQ(got.annotations.size(), 3U);
}

TEST(LabelNumber, IsWhatFollowsTheName) {
  for (const char* label :
       {"person-1", "person_1", "person 1", "person#1", "person(1)", "person1"}) {
    const auto parts = split_number(label);
    ASSERT_TRUE(parts) << label;
    EXPECT_EQ(parts->name, "person") << label;
    EXPECT_EQ(parts->number, "1") << label;
    EXPECT_EQ(parts->has_separator, std::string(label) != "person1");
  }
  for (const char* label : {"person", "1", "-1", "3d", ""})
    EXPECT_FALSE(split_number(label)) << label;
  EXPECT_EQ(find_numbered({"f16", "boeing"}), "");  // one name with one number may be a name
  EXPECT_EQ(find_numbered({"dog1", "dog2"}), "dog2");
  EXPECT_EQ(find_numbered({"cat", "dog-1"}), "dog-1");
}

TEST_F(LabelmeTest, MasksOfAssistantsAreRead) {
  // 3 x 2 pixels of which two are set, as a PNG of one bit a pixel.
  cv::Mat drawn = cv::Mat::zeros(2, 3, CV_8UC1);
  drawn.at<uint8_t>(0, 1) = drawn.at<uint8_t>(1, 2) = 255;
  std::vector<uint8_t> png;
  cv::imencode(".png", drawn, png, {cv::IMWRITE_PNG_BILEVEL, 1});
  const std::string text = base64({png.begin(), png.end()});
  add(0, "bird", nullptr, {{30, 20}, {32, 21}}, "mask");
  files_[0]["shapes"].back()["mask"] = text;
  const AnnotationFile got = convert();
  const Annotation& bird = got.annotations[0];
  EXPECT_EQ(got.categories[bird.category_index].name, "bird");
  const std::vector<uint8_t> pixels = to_mask(bird.segmentations[0].value());
  EXPECT_EQ(bird.areas[0], 2);
  EXPECT_EQ(pixels[20 * 40 + 31], 1);
  EXPECT_EQ(pixels[21 * 40 + 32], 1);
  // Some tools write 1 for what is set.
  cv::imencode(".png", cv::Mat(drawn / 255), png);
  files_[0]["shapes"].back()["mask"] = base64({png.begin(), png.end()});
  EXPECT_EQ(convert().annotations[0].areas[0], 2);
  const auto message = [&](const Json& points, const std::string& mask) {
    files_[0]["shapes"].back()["points"] = points;
    files_[0]["shapes"].back()["mask"] = mask;
    return message_of<DataError>([&] { convert(); });
  };
  expect_parts(message({{30, 20}, {33, 21}}, text), {"0.json", "shapes[1]", "4x2", "3x2"});
  expect_parts(message({{38, 20}, {40, 21}}, text), {"within the frame", "40x30"});
  expect_parts(message({{30, 20}, {32, 21}}, "$$$"), {"'mask'", "base64"});
  expect_parts(message({{30, 20}, {32, 21}}, "AAAA"), {"'mask'", "expected an image"});
}

}  // namespace
}  // namespace tessera::data
