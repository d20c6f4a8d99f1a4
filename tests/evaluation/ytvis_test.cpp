#include "launcher/data/ytvis.h"

#include <gtest/gtest.h>

#include "tests/evaluation/fixture.h"

namespace tessera::data {
namespace {

using test_support::error_of;
using test_support::expect_parts;
using test_support::Json;

class Ytvis : public test_support::FolderTest {
 protected:
  AnnotationFile read(const Json& json, const ReadOptions& options = {}) const {
    return read_annotations(write_json("gt.json", json), options);
  }

  /// The small file after `change`, which must be refused with all `parts` and its file name.
  void expect_refused(const std::function<void(Json&)>& change, std::vector<std::string> parts,
                      const ReadOptions& options = {}) const {
    Json json = test_support::small_ground_truth();
    change(json);
    parts.push_back((folder_ / "gt.json").string() + ": ");
    expect_parts(error_of([&] { read(json, options); }), parts);
  }
};

TEST_F(Ytvis, ReadsEveryField) {
  const AnnotationFile file = read(test_support::small_ground_truth());
  ASSERT_EQ(file.videos.size(), 1u);
  EXPECT_EQ(file.videos[0].id, 7);
  EXPECT_EQ(file.videos[0].width, 5);
  EXPECT_EQ(file.videos[0].height, 4);
  EXPECT_EQ(file.videos[0].length, 2);
  EXPECT_EQ(file.videos[0].file_names[1], "a/1.jpg");
  ASSERT_EQ(file.categories.size(), 1u);
  EXPECT_EQ(file.categories[0].name, "duck");
  ASSERT_EQ(file.annotations.size(), 1u);
  const Annotation& annotation = file.annotations[0];
  EXPECT_EQ(annotation.id, 11);
  EXPECT_EQ(annotation.video_index, 0u);
  EXPECT_EQ(annotation.category_index, 0u);
  EXPECT_FALSE(annotation.is_crowd);
  ASSERT_EQ(annotation.segmentations.size(), 2u);
  EXPECT_EQ(annotation.segmentations[0], test_support::box_rle(4, 5, 1, 0, 2, 3));
  EXPECT_FALSE(annotation.segmentations[1]);
  EXPECT_EQ(annotation.areas[0], 6);
  EXPECT_EQ(annotation.bboxes[0], (Box{1, 0, 2, 3}));
  EXPECT_EQ(annotation.occlusion[0], Occlusion::kSlight);
  EXPECT_FALSE(annotation.occlusion[1]);
}

TEST_F(Ytvis, ReadsUncompressedRunsPolygonsAndEmptyFrames) {
  Json json = test_support::small_ground_truth();
  Json& annotation = json["annotations"][0];
  const Rle expected = test_support::box_rle(4, 5, 1, 0, 2, 3);
  for (const Json& mask : {Json{{"size", {4, 5}}, {"counts", expected.counts}},
                           Json::array({Json::array({1, 0, 3, 0, 3, 3, 1, 3})})}) {
    for (const Json& empty : {Json(nullptr), Json::array(), Json::object()}) {
      annotation["segmentations"] = Json::array({mask, empty});
      const AnnotationFile file = read(json);
      EXPECT_EQ(file.annotations[0].segmentations[0], expected);
      EXPECT_FALSE(file.annotations[0].segmentations[1]);
    }
  }
}

TEST_F(Ytvis, ReadsListsInAnyOrder) {
  const Json json = test_support::small_ground_truth();
  Json turned;
  for (const char* key : {"annotations", "categories", "videos"}) turned[key] = json[key];
  EXPECT_EQ(read(turned).annotations.size(), 1u);
}

TEST_F(Ytvis, TakesBoxesFromTheMasksWhereTheFileHasNone) {
  Json json = test_support::small_ground_truth();
  json["annotations"][0].erase("bboxes");
  const AnnotationFile file = read(json);
  EXPECT_EQ(file.annotations[0].bboxes[0], (Box{1, 0, 2, 3}));
  EXPECT_FALSE(file.annotations[0].bboxes[1]);
}

TEST_F(Ytvis, ReadsFilesWithoutAnnotationsOnlyOnRequest) {
  Json json = test_support::small_ground_truth();
  for (int i = 0; i < 2; ++i) {
    if (i == 0) json["annotations"] = nullptr;
    if (i == 1) json.erase("annotations");
    EXPECT_TRUE(read(json, {.require_annotations = false}).annotations.empty());
    expect_parts(error_of([&] { read(json); }), {"annotations"});
  }
}

TEST_F(Ytvis, NamesTheFileThatCannotBeRead) {
  expect_parts(error_of([&] { read_annotations(folder_ / "none.json"); }),
               {"none.json", "no such file"});
  expect_parts(error_of([&] { read_annotations(folder_); }), {"got a folder"});
}

TEST_F(Ytvis, NamesThePlaceOfBrokenJson) {
  const auto file = write("gt.json", "{\"videos\":\n [1,, 2]}");
  expect_parts(error_of([&] { read_annotations(file); }),
               {"gt.json: ", "byte 16", "line 2, column 5"});
  const std::string text = test_support::small_ground_truth().dump();
  const auto cut = write("cut.json", text.substr(0, text.size() - 20));
  expect_parts(error_of([&] { read_annotations(cut); }),
               {"cut.json: ", "after 1 videos", "cut off"});
  expect_parts(error_of([&] { read_annotations(write("empty.json", std::string())); }),
               {"empty.json: "});
  expect_parts(error_of([&] { read_annotations(write("list.json", std::string("[]"))); }),
               {"expected an object, got a list of 0"});
}

TEST_F(Ytvis, RefusesNumbersThatAreNotFinite) {
  std::string text = test_support::small_ground_truth().dump();
  const std::string areas = "\"areas\":[6,null]";
  ASSERT_NE(text.find(areas), std::string::npos);
  for (const std::string bad : {"NaN", "Infinity", "1e999"}) {
    std::string changed = text;
    changed.replace(changed.find(areas), areas.size(), "\"areas\":[" + bad + ",null]");
    const auto file = write("gt.json", changed);
    expect_parts(error_of([&] { read_annotations(file); }),
                 {"gt.json: ", "after 1 videos", "JSON"});
  }
}

TEST_F(Ytvis, RefusesBrokenMasks) {
  const auto mask = [](Json& json) -> Json& { return json["annotations"][0]["segmentations"][0]; };
  const std::string place = "annotation 11 (video 7): frame 0: ";
  expect_refused([&](Json& j) { mask(j)["counts"] = "136NK"; }, {place, "sum to 20", "got 12"});
  expect_refused([&](Json& j) { mask(j)["counts"] = "1#"; }, {place, "'#'"});
  expect_refused([&](Json& j) { mask(j)["counts"] = ""; }, {place, "empty string"});
  expect_refused([&](Json& j) { mask(j)["counts"] = Json::array(); }, {place, "at least one run"});
  expect_refused([&](Json& j) { mask(j)["counts"] = {4, 3, 1}; }, {place, "got 8"});
  expect_refused([&](Json& j) { mask(j)["counts"] = {-4, 24}; }, {place, "got -4"});
  expect_refused([&](Json& j) { mask(j)["counts"] = {4.5, 15.5}; }, {place, "whole number", "4.5"});
  expect_refused([&](Json& j) { mask(j)["counts"] = 20; },
                 {place, "RLE string or a list", "got 20"});
  expect_refused([&](Json& j) { mask(j)["size"] = {5, 4}; }, {place, "4 x 5", "got 5 x 4"});
  expect_refused([&](Json& j) { mask(j)["size"] = {4}; }, {place, "list of 1"});
  expect_refused([&](Json& j) { mask(j)["size"] = {-4, 5}; }, {place, "got -4 x 5"});
  expect_refused(
      [&](Json& j) {
        mask(j)["size"] = {-4, -5};
      },
      {place, "above 0"}, {.compatible = true});
  expect_refused([&](Json& j) { mask(j).erase("size"); }, {place, "key 'size'", "'counts'"});
  expect_refused([&](Json& j) { mask(j).erase("counts"); }, {place, "key 'counts'"});
  expect_refused([&](Json& j) { mask(j) = "text"; }, {place, "list of polygons", "\"text\""});
  expect_refused(
      [&](Json& j) {
        mask(j) = Json::array({Json::array({1, 2, 3, 4})});
      },
      {place, "3 points"});
  expect_refused([&](Json& j) { mask(j) = {1, 2, 3, 4, 5, 6}; },
                 {place, "polygon: expected a list"});
}

TEST_F(Ytvis, RefusesListsOfAnotherLengthThanTheVideo) {
  const std::string place = "annotation 11 (video 7): ";
  expect_refused([](Json& j) { j["annotations"][0]["segmentations"].erase(1); },
                 {place, "'segmentations'", "2 frames", "got 1"});
  expect_refused([](Json& j) { j["annotations"][0]["segmentations"].push_back(nullptr); },
                 {place, "2 frames", "got 3"});
  for (const char* key : {"areas", "bboxes", "occlusion"}) {
    expect_refused([&](Json& j) { j["annotations"][0][key].erase(1); }, {place, key, "got 1"});
  }
}

TEST_F(Ytvis, RefusesUnknownIds) {
  expect_refused([](Json& j) { j["annotations"][0]["video_id"] = 8; },
                 {"annotation 11", "'video_id'", "got 8", "Known: 7"});
  expect_refused([](Json& j) { j["annotations"][0]["category_id"] = 4; },
                 {"annotation 11", "'category_id'", "got 4", "Known: 3"});
}

TEST_F(Ytvis, RefusesDuplicateIds) {
  for (const char* list : {"videos", "categories", "annotations"}) {
    for (const bool compatible : {false, true}) {
      expect_refused([&](Json& j) { j[list].push_back(j[list][0]); }, {"unique ids", "second time"},
                     {.compatible = compatible});
    }
  }
  const auto file = write("gt.json", std::string(R"({"videos": [], "videos": []})"));
  expect_parts(error_of([&] { read_annotations(file, {.compatible = true}); }),
               {"'videos' a second"});
}

TEST_F(Ytvis, RefusesVideosWithoutFrames) {
  expect_refused([](Json& j) { j["videos"][0]["file_names"] = Json::array(); },
                 {"video 7: ", "at least one frame"});
  expect_refused([](Json& j) { j["videos"][0]["length"] = 3; }, {"video 7: ", "'length'", "got 3"});
  expect_refused([](Json& j) { j["videos"] = Json::array(); }, {"at least one video"});
}

TEST_F(Ytvis, RefusesMissingKeys) {
  for (const char* list : {"videos", "categories", "annotations"}) {
    expect_refused([&](Json& j) { j.erase(list); }, {std::string("'") + list + "'"});
  }
  const auto erase = [&](const char* list, const char* key) {
    expect_refused([&](Json& j) { j[list][0].erase(key); },
                   {std::string("expected a key '") + key + "'"});
  };
  for (const char* key : {"id", "width", "height", "file_names"}) erase("videos", key);
  for (const char* key : {"id", "name"}) erase("categories", key);
  for (const char* key : {"id", "video_id", "category_id", "segmentations"}) {
    erase("annotations", key);
  }
}

TEST_F(Ytvis, DerivesWhatMayBeLeftOut) {
  Json json = test_support::small_ground_truth();
  json["videos"][0].erase("length");
  for (const char* key : {"iscrowd", "areas", "bboxes"}) json["annotations"][0].erase(key);
  const AnnotationFile file = read(json);
  EXPECT_EQ(file.videos[0].length, 2);
  const Annotation& annotation = file.annotations[0];
  EXPECT_FALSE(annotation.is_crowd);
  EXPECT_EQ(annotation.areas, (std::vector<std::optional<double>>{6, std::nullopt}));
  EXPECT_EQ(annotation.bboxes[0], (Box{1, 0, 2, 3}));
  json["annotations"][0]["iscrowd"] = nullptr;
  json["annotations"][0]["areas"] = nullptr;
  EXPECT_EQ(read(json).annotations[0].areas, annotation.areas);
}

// As tables and dynamically typed programs write them.
TEST_F(Ytvis, TakesWholeNumbersWithAPoint) {
  std::string text = test_support::small_ground_truth().dump();
  for (const auto& [one, other] :
       {std::pair(R"("id":7)", R"("id":7.0)"), std::pair(R"("video_id":7)", R"("video_id":7.0)"),
        std::pair(R"("iscrowd":0)", R"("iscrowd":0.0)"),
        std::pair(R"("width":5)", R"("width":5.0)"), std::pair(R"("length":2)", R"("length":2.0)"),
        std::pair(R"([4,5])", R"([4.0,5.0])")}) {
    const size_t at = text.find(one);
    ASSERT_NE(at, text.npos) << one;
    text.replace(at, std::string(one).size(), other);
  }
  const AnnotationFile file = read_annotations(write("gt.json", text));
  EXPECT_EQ(file.videos[0].id, 7);
  EXPECT_EQ(file.annotations[0].video_index, 0u);
  expect_refused([](Json& j) { j["annotations"][0]["iscrowd"] = 0.5; }, {"'iscrowd'", "0.5"});
  expect_refused([](Json& j) { j["videos"][0]["id"] = 1e300; }, {"'id'", "1e+300"});
}

TEST_F(Ytvis, SkipsAByteOrderMark) {
  const std::string text = test_support::small_ground_truth().dump();
  EXPECT_EQ(read_annotations(write("gt.json", "\xef\xbb\xbf" + text)).videos[0].id, 7);
}

TEST_F(Ytvis, SetsWithoutPublicAnnotationsServeInferenceOnly) {
  for (const bool is_null : {false, true}) {
    Json json = test_support::small_ground_truth();
    json.erase("annotations");
    if (is_null) json["annotations"] = nullptr;
    expect_parts(error_of([&] { read(json); }),
                 {"'annotations'", "no public annotations", "inference only"});
    const AnnotationFile file = read(json, {.require_annotations = false});
    EXPECT_FALSE(file.has_annotations);
    EXPECT_EQ(file.videos.size(), 1u);
  }
  EXPECT_TRUE(read(test_support::small_ground_truth()).has_annotations);
}

TEST_F(Ytvis, PointsToTheConversionOfOtherLayouts) {
  expect_refused(
      [](Json& j) {
        j["videos"][0].erase("file_names");
        j["images"] = Json::array();
      },
      {"video 7", "'file_names'", "tessera data convert --from coco"});
  expect_refused(
      [](Json& j) {
        j.erase("videos");
        j["images"] = Json::array();
      },
      {"'videos'", "got 'images'", "tessera data convert --from coco"});
}

TEST_F(Ytvis, FilesOfAnotherKindAreNamed) {
  const auto message = [&](const std::string& bytes) {
    return error_of([&] { read_annotations(write("gt.json", bytes)); });
  };
  expect_parts(message("version https://git-lfs.github.com/spec/v1\n"), {"gt.json", "Git LFS"});
  expect_parts(message("\n<!doctype html>"), {"gt.json", "HTML page"});
  expect_parts(message("\x1f\x8b\x08"), {"gt.json", "gzip"});
  expect_parts(message("PK\x03\x04"), {"gt.json", "zip archive"});
  expect_parts(message(std::string("\xff\xfe{\0", 4)), {"gt.json", "UTF-16"});
}

TEST_F(Ytvis, RefusesValuesOfTheWrongKind) {
  const auto set = [&](const char* list, const char* key, const Json& value, const char* got) {
    expect_refused([&](Json& j) { j[list][0][key] = value; }, {key, got});
  };
  set("videos", "id", "7", "the string \"7\"");
  set("videos", "id", 7.5, "7.5");
  set("videos", "id", uint64_t{1} << 63, "64 bits");
  set("videos", "width", 0, "got 0");
  set("videos", "height", -4, "got -4");
  set("videos", "length", -1, "got -1");
  set("videos", "file_names", "a.jpg", "a.jpg");
  set("videos", "file_names", {1, 2}, "expected a string, got 1");
  set("categories", "name", nullptr, "null");
  set("annotations", "id", nullptr, "null");
  set("annotations", "iscrowd", 2, "got 2");
  set("annotations", "segmentations", 3, "got 3");
  set("annotations", "areas", {"6", nullptr}, "the string \"6\"");
  set("annotations", "areas", {-6, nullptr}, "got -6");
  set("annotations", "bboxes", {{1, 2, 3}, nullptr}, "list of 3");
  set("annotations", "bboxes", {{1, 2, -3, 4}, nullptr}, "got -3 and 4");
  set("annotations", "occlusion", {"slight", nullptr}, "slight_occlusion");
  expect_refused([](Json& j) { j["annotations"][0] = 5; }, {"annotations[0]", "object, got 5"});
  expect_refused([](Json& j) { j["videos"][0] = "x"; }, {"videos[0]", "an object"});
  expect_refused([](Json& j) { j["videos"][0]["width"] = 1 << 30; }, {"video 7", "pixels"});
}

TEST_F(Ytvis, CompatibleAcceptsWhatTheReferenceAccepts) {
  Json json = test_support::small_ground_truth();
  json["videos"][0]["length"] = 9;
  json["annotations"][0]["segmentations"] = {
      test_support::rle_json(test_support::box_rle(6, 6, 0, 0, 1, 1)), nullptr, nullptr};
  for (const char* key : {"video_id", "category_id"}) {
    json["annotations"].push_back(json["annotations"][0]);
    json["annotations"].back()[key] = 99;
    json["annotations"].back()["id"] = json["annotations"].size() + 100;
  }
  const AnnotationFile file = read(json, {.compatible = true});
  ASSERT_EQ(file.annotations.size(), 1u);
  EXPECT_EQ(file.annotations[0].segmentations.size(), 3u);
}

TEST_F(Ytvis, ReadsTheSharedDataSet) {
  const auto shared = test_support::shared_folder();
  if (shared.empty()) GTEST_SKIP() << "no shared data: set TESSERA_SHARED";
  const auto folder = shared / "data" / "minivis" / "annotations";
  const std::vector<std::tuple<std::string, size_t, size_t>> files = {
      {"train", 8, 11}, {"valid", 5, 8}, {"clips5", 10, 22}, {"oneframe", 2, 60}};
  for (const auto& [name, num_videos, num_tracks] : files) {
    const AnnotationFile file = read_annotations(folder / (name + ".json"));
    EXPECT_EQ(file.videos.size(), num_videos);
    EXPECT_EQ(file.annotations.size(), num_tracks);
    for (const Annotation& annotation : file.annotations) {
      for (size_t t = 0; t < annotation.segmentations.size(); ++t) {
        if (!annotation.segmentations[t]) continue;
        EXPECT_EQ(area(*annotation.segmentations[t]), annotation.areas[t]);
        EXPECT_EQ(bounding_box(*annotation.segmentations[t]), annotation.bboxes[t]);
      }
    }
  }
}

}  // namespace
}  // namespace tessera::data
