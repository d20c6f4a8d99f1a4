#include "launcher/data/convert/convert.h"
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
  file["annotations"][0].erase("track_id");
  expect_parts(message(file), {"coco.json", "annotation 0", "'track_id'"});
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
  // Two masks of one track.
  const Json& list = file["annotations"];
  size_t first = 0;
  while (list[first]["segmentation"].is_null() || list[first + 1]["segmentation"].is_null() ||
         list[first]["track_id"] != list[first + 1]["track_id"])
    ++first;
  const std::string second = "annotation " + std::to_string(first + 1);
  const auto frame_of = [&](size_t i) {
    return "frame " + std::to_string(list[i]["image_id"].get<int64_t>() % 100);
  };
  const std::string first_frame = frame_of(first), second_frame = frame_of(first + 1);
  file["annotations"][first + 1]["image_id"] = file["annotations"][first]["image_id"];
  expect_parts(message(file), {second, first_frame, "one mask"});
  file = coco(true);
  file["annotations"][first + 1]["category_id"] =
      1 + file["annotations"][first]["category_id"].get<int>() % 5;
  expect_parts(message(file), {second, second_frame, "category"});
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
  expect_parts(message(), {"0.json", "shapes[1]", "'line'"});
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
}

}  // namespace
}  // namespace tessera::data
