#include "launcher/evaluation/results.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zip.h>

#include <cmath>
#include <csignal>

#include "launcher/evaluation/result_index.h"
#include "launcher/evaluation/results_writer.h"
#include "tests/evaluation/fixture.h"

namespace tessera::evaluation {
namespace {

using test_support::error_of;
using test_support::expect_parts;
using test_support::Json;

class ResultsFile : public test_support::FolderTest {
 protected:
  void expect_refused(const std::function<void(Json&)>& change,
                      std::vector<std::string> parts) const {
    Json json = test_support::small_results();
    change(json[0]);
    parts.push_back((folder_ / "results.json").string() + ": result 0");
    expect_parts(error_of([&] { read_results(write_json("results.json", json)); }), parts);
  }

  size_t num_files() const {
    return std::distance(std::filesystem::directory_iterator(folder_), {});
  }
};

// The index gives what the reader gives, whatever the order of keys and however masks are escaped.
TEST_F(ResultsFile, IsIndexedAsItIsRead) {
  std::mt19937 random(3);
  std::vector<uint8_t> mask(60 * 40);
  Json list = Json::array();
  for (int i = 0; i < 40; ++i) {
    Json entry{{"score", i / 64.0}, {"video_id", i % 7}, {"category_id", -i}};
    entry["segmentations"] = Json::array({nullptr});
    for (uint8_t& pixel : mask) pixel = random() % 9 == 0;
    const data::Rle rle = data::from_mask(mask, 60, 40);
    entry["segmentations"].push_back({{"counts", data::encode_counts(rle)}, {"size", {60, 40}}});
    list.push_back(entry);
  }
  const std::string text = list.dump();
  EXPECT_NE(text.find("\\\\"), std::string::npos) << "no mask with a backslash to escape";
  const auto file = write("results.json", text + std::string(100, ' '));
  const Results read = read_results(file);
  const auto index = ResultIndex::read(file, 2);
  ASSERT_TRUE(index);
  ASSERT_EQ(index->entries().size(), read.tracks.size());
  for (size_t i = 0; i < read.tracks.size(); ++i) {
    EXPECT_EQ(index->entries()[i].video_id, read.tracks[i].video_id);
    EXPECT_EQ(index->entries()[i].category_id, read.tracks[i].category_id);
    EXPECT_EQ(index->entries()[i].score, read.tracks[i].score);
    EXPECT_EQ(index->masks(i), read.tracks[i].segmentations);
  }
}

TEST_F(ResultsFile, WithAnythingUnusualIsNotIndexed) {
  const std::string good =
      R"({"video_id":1,"category_id":1,"score":0.5,"segmentations":[{"size":[2,2],"counts":"4"}]})";
  const std::string padding(100, ' ');
  EXPECT_TRUE(ResultIndex::read(write("results.json", "[" + good + "]" + padding), 1));
  for (const std::string bad :
       {R"({"video_id":1,"category_id":1,"score":0.5})",
        R"({"video_id":1,"category_id":1,"score":"0.5","segmentations":[]})",
        R"({"video_id":1,"video_id":2,"category_id":1,"score":0.5,"segmentations":[]})",
        R"({"id":3,"video_id":1,"category_id":1,"score":0.5,"segmentations":[]})",
        R"({"video_id":1,"category_id":1,"score":0.5,"segmentations":[{"size":[2],"counts":"4"}]})",
        R"({"video_id":1,"category_id":1,"score":0.5,"segmentations":[{"size":[2,2]}]})", "7",
        "[]"}) {
    EXPECT_FALSE(
        ResultIndex::read(write("results.json", "[" + good + "," + bad + "]" + padding), 1))
        << bad;
  }
  EXPECT_FALSE(ResultIndex::read(write("results.json", "{}"), 1));
  EXPECT_FALSE(ResultIndex::read(folder_ / "absent.json", 1));
}

ResultTrack random_track(std::mt19937& random) {
  ResultTrack track{.video_id = static_cast<int64_t>(random()) - 5,
                    .category_id = static_cast<int64_t>(random() % 40),
                    .score = std::ldexp(random(), -32) / 3,
                    .segmentations = {}};
  for (int t = 0; t < 4; ++t) {
    std::vector<uint8_t> mask(30 * 20);
    for (uint8_t& pixel : mask) pixel = random() % 7 == 0;
    track.segmentations.push_back(t == 1 ? std::nullopt
                                         : std::optional(data::from_mask(mask, 30, 20)));
  }
  return track;
}

/// While alive, files of this process cannot grow beyond `bytes`: as a disk that is full.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit{bytes, old_limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_limit_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_limit_{};
  void (*old_handler_)(int) = nullptr;
};

TEST_F(ResultsFile, ReadsEveryField) {
  const Results results = read_results(write_json("results.json", test_support::small_results()));
  ASSERT_EQ(results.tracks.size(), 1u);
  EXPECT_EQ(results.tracks[0].video_id, 7);
  EXPECT_EQ(results.tracks[0].category_id, 3);
  EXPECT_EQ(results.tracks[0].score, 0.5);
  ASSERT_EQ(results.tracks[0].segmentations.size(), 2u);
  EXPECT_EQ(results.tracks[0].segmentations[0], test_support::box_rle(4, 5, 1, 0, 2, 3));
  EXPECT_FALSE(results.tracks[0].segmentations[1]);
}

TEST_F(ResultsFile, RefusesBrokenFiles) {
  const auto read = [&](const std::string& text) {
    return error_of([&] { read_results(write("results.json", text)); });
  };
  expect_parts(read("{\"a\": 1}"), {"results.json: ", "list of results, got an object"});
  expect_parts(read("3"), {"list of results, got 3"});
  expect_parts(read("[3]"), {"result 0: ", "object, got 3"});
  expect_parts(read("[[]]"), {"result 0: ", "object, got a list"});
  const std::string text = test_support::small_results().dump();
  expect_parts(read(text.substr(0, text.size() - 1)), {"after 1 results", "byte", "line 1"});
  std::string nan = text;
  nan.replace(nan.find("0.5"), 3, "NaN");
  expect_parts(read(nan), {"after 0 results", "NaN"});
  nan.replace(nan.find("NaN"), 3, "1e999");
  expect_parts(read(nan), {"after 0 results", "1e999"});
  expect_parts(error_of([&] { read_results(folder_ / "none.json"); }), {"no such file"});
}

TEST_F(ResultsFile, RefusesBrokenTracks) {
  for (const char* key : {"video_id", "category_id", "score", "segmentations"}) {
    expect_refused([&](Json& j) { j.erase(key); }, {std::string("expected a key '") + key + "'"});
    expect_refused([&](Json& j) { j[key] = "x"; }, {std::string("'") + key + "'", "the string"});
  }
  const std::string place = "(video 7): frame 0: ";
  const auto mask = [](Json& j) -> Json& { return j["segmentations"][0]; };
  expect_refused([&](Json& j) { mask(j)["counts"] = "1"; }, {place, "sum to 20", "got 1"});
  expect_refused([&](Json& j) { mask(j)["counts"] = ""; }, {place, "empty"});
  expect_refused([&](Json& j) { mask(j)["counts"] = {4, 15}; }, {place, "sum to 20", "got 19"});
  expect_refused([&](Json& j) { mask(j)["size"] = {0, 5}; }, {place, "above 0"});
  expect_refused([&](Json& j) { mask(j) = {{1, 0, 3, 0, 3, 3}}; }, {place, "got a list"});
}

// Masks as other tools write them: runs in a list, and polygons, which have the video's size.
TEST_F(ResultsFile, ReadsRunsAndPolygons) {
  Json json = test_support::small_results();
  json[0]["segmentations"] = {{{"size", {4, 5}}, {"counts", {4, 16}}},
                              Json::array({{1, 0, 3, 0, 3, 3, 1, 3}})};
  const auto file = write_json("results.json", json);
  const Results results = read_results(file, {{7, {4, 5}}});
  EXPECT_EQ(results.tracks[0].segmentations[0], (data::Rle{4, 5, {4, 16}}));
  EXPECT_EQ(results.tracks[0].segmentations[1], test_support::box_rle(4, 5, 1, 0, 2, 3));
  expect_parts(error_of([&] {
                 read_results(file, {{8, {4, 5}}});
               }),
               {"result 0 (video 7)", "frame 1", "got a list"});
}

class ZippedResults : public ResultsFile {
 protected:
  std::filesystem::path zip(const std::vector<std::pair<std::string, std::string>>& entries) const {
    const auto file = folder_ / "results.zip";
    std::filesystem::remove(file);
    int code = 0;
    zip_t* const archive = zip_open(file.c_str(), ZIP_CREATE, &code);
    for (const auto& [name, text] : entries)
      zip_file_add(archive, name.c_str(), zip_source_buffer(archive, text.data(), text.size(), 0),
                   0);
    EXPECT_EQ(zip_close(archive), 0);
    return file;
  }
};

TEST_F(ZippedResults, AreReadAsTheFileInThem) {
  const std::string text = test_support::small_results().dump();
  using Entries = std::vector<std::pair<std::string, std::string>>;
  for (const Entries& entries :
       {Entries{{"results.json", text}}, Entries{{"run/results.json", text}, {"log.txt", "a"}},
        Entries{{"a.json", "{}"}, {"results.json", text}},
        Entries{{"mine.json", text}, {"__MACOSX/._mine.json", "x"}}}) {
    const auto file = zip(entries);
    const Results results = read_results(file);
    ASSERT_EQ(results.tracks.size(), 1u);
    EXPECT_EQ(results.tracks[0].segmentations[0], test_support::box_rle(4, 5, 1, 0, 2, 3));
    const auto index = ResultIndex::read(file, 1);
    ASSERT_TRUE(index);
    EXPECT_EQ(index->masks(0), results.tracks[0].segmentations);
  }
}

TEST_F(ZippedResults, ThatHoldNoneAreNamed) {
  const auto message = [&](const std::filesystem::path& file) {
    return error_of([&] { read_results(file); });
  };
  expect_parts(message(zip({{"a.json", "[]"}, {"b.json", "[]"}})),
               {"results.zip", "results.json", "a.json", "b.json"});
  expect_parts(message(zip({{"a.txt", "x"}})), {"results.zip", "a.txt"});
  const auto file = zip({{"results.json", std::string(2000, '[') + "3"}});
  expect_parts(message(file), {"results.zip", "byte"});
  std::filesystem::resize_file(file, 40);
  expect_parts(message(file), {"results.zip", "zip archive"});
}

TEST_F(ResultsFile, WritesWhatItReads) {
  std::mt19937 random(4);
  const auto file = folder_ / "results.json";
  std::vector<ResultTrack> tracks;
  ResultsWriter writer(file);
  for (int i = 0; i < 20; ++i) {
    tracks.push_back(random_track(random));
    writer.append(tracks.back());
  }
  EXPECT_FALSE(std::filesystem::exists(file));
  writer.finish();
  EXPECT_EQ(num_files(), 1u);
  const Results results = read_results(file);
  ASSERT_EQ(results.tracks.size(), tracks.size());
  for (size_t i = 0; i < tracks.size(); ++i) {
    EXPECT_EQ(results.tracks[i].video_id, tracks[i].video_id);
    EXPECT_EQ(results.tracks[i].category_id, tracks[i].category_id);
    EXPECT_EQ(results.tracks[i].score, tracks[i].score);  // to the last bit
    EXPECT_EQ(results.tracks[i].segmentations, tracks[i].segmentations);
  }
  error_of<RuntimeError>([&] { writer.append(tracks[0]); });
  error_of<RuntimeError>([&] { writer.finish(); });
}

// Runs of 44 - 0 and the like give the one character that JSON must escape.
TEST_F(ResultsFile, EscapesBackslashes) {
  const data::Rle rle{10, 10, {44, 56}};
  ASSERT_NE(data::encode_counts(rle).find('\\'), std::string::npos);
  ResultsWriter writer(folder_ / "results.json");
  writer.append({1, 1, 1, {rle}});
  writer.finish();
  EXPECT_EQ(read_results(folder_ / "results.json").tracks[0].segmentations[0], rle);
}

TEST_F(ResultsFile, WritesAnEmptyList) {
  ResultsWriter(folder_ / "results.json").finish();
  EXPECT_TRUE(read_results(folder_ / "results.json").tracks.empty());
}

TEST_F(ResultsFile, LeavesTheOldFileUnlessFinished) {
  const auto file = write("results.json", std::string("old"));
  {
    ResultsWriter writer(file);
    std::mt19937 random(5);
    writer.append(random_track(random));
  }
  EXPECT_EQ(num_files(), 1u);
  EXPECT_EQ(std::filesystem::file_size(file), 3u);
}

TEST_F(ResultsFile, FailsEarlyWhereItCannotWrite) {
  expect_parts(error_of<RuntimeError>([&] { ResultsWriter(folder_ / "none" / "results.json"); }),
               {"none/results.json", "No such file"});
  const auto plain = write("plain", std::string("x"));
  expect_parts(error_of<RuntimeError>([&] { ResultsWriter(plain / "results.json"); }),
               {"plain/results.json", "Not a directory"});
  expect_parts(error_of<RuntimeError>([&] { ResultsWriter writer(folder_); }), {"got a folder"});
}

TEST_F(ResultsFile, FailsOnAFullDiskAndLeavesNothing) {
  const auto file = write("results.json", std::string("old"));
  {
    const FileSizeLimit limit(0);
    expect_parts(error_of<RuntimeError>([&] { ResultsWriter writer(file); }),
                 {"results.json", "write"});
  }
  EXPECT_EQ(num_files(), 1u);
  {
    const FileSizeLimit limit(100);
    ResultsWriter writer(file);
    std::mt19937 random(6);
    writer.append(random_track(random));
    expect_parts(error_of<RuntimeError>([&] { writer.finish(); }),
                 {"results.json", "free space", "unchanged"});
  }
  EXPECT_EQ(num_files(), 1u);
  EXPECT_EQ(std::filesystem::file_size(file), 3u);
}

TEST_F(ResultsFile, RefusesToWriteWhatCannotBeRead) {
  ResultsWriter writer(folder_ / "results.json");
  expect_parts(error_of([&] { writer.append({7, 1, NAN, {}}); }), {"result 0 (video 7)", "finite"});
  expect_parts(error_of([&] {
                 writer.append({7, 1, 1, {std::nullopt, data::Rle{2, 2, {3}}}});
               }),
               {"frame 1", "sum to 4"});
}

}  // namespace
}  // namespace tessera::evaluation
