#include "launcher/data/split.h"

#include <set>

#include "launcher/data/synth.h"
#include "launcher/data/ytvis.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::Json;
using test_support::message_of;

class SplitTest : public test_support::DataTest {
 protected:
  void write_set(int64_t videos) {
    write_synth(
        {.output = folder_ / "set", .videos = videos, .frames = 2, .height = 40, .width = 60});
  }
  SplitDataOptions options(const std::string& output, uint64_t seed = 1) const {
    return {.annotations = folder_ / "set/annotations.json",
            .output = folder_ / output,
            .parts = {{"train", 0.75}, {"valid", 0.25}},
            .seed = seed};
  }
  Json json(const std::string& name) const { return Json::parse(read(folder_ / name)); }
};

TEST_F(SplitTest, PartsAreAlikeInCategories) {
  write_set(80);
  const auto summaries = split_data_set(options("a"));
  const AnnotationFile whole = read_annotations(folder_ / "set/annotations.json");
  std::set<std::string> seen;
  size_t annotations = 0;
  for (const char* name : {"a/train.json", "a/valid.json"}) {
    const AnnotationFile part = read_annotations(folder_ / name);
    annotations += part.annotations.size();
    for (const Video& video : part.videos)
      EXPECT_TRUE(seen.insert(video.file_names[0]).second) << "a video in two parts";
  }
  EXPECT_EQ(seen.size(), 80U);
  EXPECT_EQ(annotations, whole.annotations.size());
  EXPECT_NEAR(static_cast<double>(summaries[0].videos), 60, 4);
  for (size_t c = 0; c < whole.categories.size(); ++c) {
    const auto train = static_cast<double>(summaries[0].annotations_of[c]);
    const auto valid = static_cast<double>(summaries[1].annotations_of[c]);
    EXPECT_NEAR(train / (train + valid), 0.75, 0.06) << whole.categories[c].name;
  }
}

TEST_F(SplitTest, DependsOnTheSeedAlone) {
  write_set(20);
  split_data_set(options("a"));
  split_data_set(options("b"));
  split_data_set(options("c", 2));
  EXPECT_EQ(read(folder_ / "a/train.json"), read(folder_ / "b/train.json"));
  EXPECT_NE(read(folder_ / "a/train.json"), read(folder_ / "c/train.json"));
}

TEST_F(SplitTest, KeepsWhatItDoesNotKnow) {
  write_set(4);
  Json document = json("set/annotations.json");
  document["licenses"] = {{{"name", "none"}}};
  document["annotations"][0]["note"] = {1.25, "x"};
  document["videos"][0]["flickr"] = 12345678901234567;
  write("set/annotations.json", document.dump());
  split_data_set(options("a"));
  Json together = Json::object();
  for (const char* name : {"a/train.json", "a/valid.json"}) {
    const Json part = json(name);
    EXPECT_EQ(part["licenses"], document["licenses"]);
    EXPECT_EQ(part["categories"], document["categories"]);
    for (const char* list : {"videos", "annotations"})
      for (const Json& entry : part[list])
        together[list][std::to_string(entry["id"].get<int64_t>())] = entry;
  }
  for (const char* list : {"videos", "annotations"})
    for (const Json& entry : document[list])
      EXPECT_EQ(together[list][std::to_string(entry["id"].get<int64_t>())], entry);
}

TEST_F(SplitTest, VideosThatShareAFrameStayTogether) {
  write_set(6);
  Json document = json("set/annotations.json");
  for (int v = 1; v < 5; ++v)
    document["videos"][v]["file_names"][0] = document["videos"][v - 1]["file_names"][1];
  write("set/annotations.json", document.dump());
  for (const SplitSummary& part : split_data_set(options("a")))
    EXPECT_TRUE(part.videos == 5 || part.videos == 1) << part.videos;
}

TEST_F(SplitTest, RefusesWhatCannotBeSplit) {
  write_set(2);
  SplitDataOptions wrong = options("a");
  wrong.parts.pop_back();
  expect_parts(message_of<ConfigError>([&] { split_data_set(wrong); }), {"two parts"});
  wrong.parts = {{"a", 1}, {"a", 1}};
  expect_parts(message_of<ConfigError>([&] { split_data_set(wrong); }), {"different names"});
  wrong.parts = {{"a", 1}, {"b", -1}};
  expect_parts(message_of<ConfigError>([&] { split_data_set(wrong); }), {"share above 0"});
  wrong.parts = {{"a", 1}, {"b", 1}, {"c", 1}};
  expect_parts(message_of<DataError>([&] { split_data_set(wrong); }), {"annotations.json", "3"});
  split_data_set(options("a"));
  expect_parts(message_of<ConfigError>([&] { split_data_set(options("a")); }),
               {"train.json", "--overwrite"});
}

}  // namespace
}  // namespace tessera::data
