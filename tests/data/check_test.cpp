#include "launcher/data/check.h"

#include "launcher/data/image_bytes.h"
#include "launcher/data/image_header.h"
#include "launcher/data/synth.h"
#include "launcher/data/ytvis.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::Json;
using test_support::message_of;

class CheckTest : public test_support::DataTest {
 protected:
  void SetUp() override {
    DataTest::SetUp();
    write_synth({.output = folder_ / "set", .videos = 4, .frames = 3, .height = 40, .width = 60});
    document_ = Json::parse(read(folder_ / "set/annotations.json"));
  }
  CheckReport check() {
    write("set/annotations.json", document_.dump());
    return check_data_set(
        {.annotations = folder_ / "set/annotations.json", .images = folder_ / "set/frames"});
  }

  Json document_;
};

TEST_F(CheckTest, FindsNothingInAGoodSet) {
  const CheckReport report = check();
  EXPECT_TRUE(report.faults.empty()) << report.faults.front();
  EXPECT_EQ(report.videos, 4);
  EXPECT_EQ(report.frames, 12);
  EXPECT_EQ(report.annotations, static_cast<int64_t>(document_["annotations"].size()));
}

TEST_F(CheckTest, ListsEveryFault) {
  Json& annotations = document_["annotations"];
  ASSERT_GE(annotations.size(), 4U);
  annotations[0]["segmentations"][0] = {{"size", {40, 60}}, {"counts", "11"}};
  annotations[0]["segmentations"][2] = {{"size", {1000000000, 1000000000}}, {"counts", "11"}};
  annotations[1]["category_id"] = 99;
  annotations[2]["id"] = annotations[3]["id"];
  document_["videos"][0]["file_names"][1] = "../outside.jpg";
  document_["videos"][1]["length"] = 70;
  write_frame("set/frames/0003/00001.jpg", 10, 20, 3);
  std::filesystem::remove(folder_ / "set/frames/0004/00002.jpg");
  const CheckReport report = check();
  const auto first = std::to_string(annotations[0]["id"].get<int64_t>());
  const std::vector<std::vector<std::string>> expected{
      {"annotations.json", "video 1", "frame 1", "within the data folder", "../outside.jpg"},
      {"annotations.json", "video 2", "'length'", "70"},
      {"annotation " + first, "video 1", "frame 0", "sum"},
      {"annotation " + first, "video 1", "frame 2", "1000000000 x 1000000000"},
      {"category_id", "99"},
      {"'id'", "second time"},
      {"video 3", "frame 1", "00001.jpg", "60x40", "20x10"},
      {"video 4", "frame 2", "00002.jpg", "no readable file"}};
  for (const auto& parts : expected) {
    int64_t found = 0;
    for (const std::string& fault : report.faults) {
      bool all = true;
      for (const std::string& part : parts) all = all && fault.find(part) != fault.npos;
      found += all;
      EXPECT_EQ(fault.find('\n'), fault.npos) << fault;
    }
    EXPECT_EQ(found, 1) << parts.back();
  }
  EXPECT_EQ(report.faults.size(), expected.size());
}

TEST_F(CheckTest, BrokenFilesAreOneFault) {
  document_["videos"] = "none";
  EXPECT_EQ(check().faults.size(), 1U);
  const std::string deep(200000, '[');
  for (const std::string& text : {std::string(), std::string("[1, 2"), deep, "{\"videos\": " + deep,
                                  std::string("{\"videos\": [NaN]}"), std::string(300, '\0')}) {
    const auto file = write("broken.json", text);
    const CheckReport report = check_data_set({.annotations = file, .images = {}});
    ASSERT_EQ(report.faults.size(), 1U);
    EXPECT_NE(report.faults[0].find("broken.json"), std::string::npos) << report.faults[0];
    EXPECT_LT(report.faults[0].size(), 1000U);
  }
}

/// A short file must not take for ever: an outline that crosses the image back and forth.
TEST_F(CheckTest, EndlessOutlinesAreRefused) {
  Json outline = Json::array();
  for (int i = 0; i < 100000; ++i) {
    outline.push_back(i % 2 == 0 ? -99999 : 99999);
    outline.push_back(i % 40);
  }
  document_["annotations"][0]["segmentations"][0] = Json::array({outline});
  const CheckReport report = check();
  ASSERT_EQ(report.faults.size(), 1U);
  expect_parts(report.faults[0], {"annotation", "video 1", "frame 0", "outline"});
}

TEST_F(CheckTest, WarnsOfWhatIsSeldomMeant) {
  document_["annotations"][0]["areas"][0] = 100000;
  document_["categories"].push_back({{"id", 77}, {"name", "unused"}});
  const CheckReport report = check();
  EXPECT_TRUE(report.faults.empty());
  std::string all;
  for (const std::string& warning : report.warnings) all += warning + "\n";
  expect_parts(all, {"100000", "'unused'"});
}

TEST_F(CheckTest, SetsWithoutPublicAnnotationsAreNoFault) {
  document_["annotations"] = nullptr;
  const CheckReport report = check();
  EXPECT_TRUE(report.faults.empty());
  ASSERT_EQ(report.warnings.size(), 1U);
  expect_parts(report.warnings[0], {"annotations.json", "inference only"});
}

TEST_F(CheckTest, FilesThatAreStoredUnderAnotherNameAreAWarning) {
  document_["videos"][0]["file_names"][0] = "0001\\00000.JPG";
  const CheckReport report = check();
  EXPECT_TRUE(report.faults.empty()) << report.faults.front();
  ASSERT_EQ(report.warnings.size(), 1U);
  expect_parts(report.warnings[0], {"video 1", "0001\\00000.JPG", "'0001/00000.jpg'"});
}

TEST(FileName, StaysInItsFolder) {
  for (const char* good : {"a.jpg", "a/b.jpg", "./a.jpg", "a/../b.jpg", "..a/b.jpg", "a..jpg"})
    EXPECT_NO_THROW(check_file_name(good)) << good;
  for (const std::string& bad :
       {std::string(), std::string("/etc/passwd"), std::string("../a.jpg"),
        std::string("a/../../b"), std::string("a\0b", 3), std::string(".."), std::string("./../x")})
    EXPECT_THROW(check_file_name(bad), DataError) << bad;
}

TEST_F(CheckTest, HeadersStateTheSize) {
  for (const char* name : {"a.png", "a.jpg", "a.bmp", "a.webp", "a.ppm", "a.tif"}) {
    write_frame(name, 21, 34, 1);
    const auto header = read_image_header(read(folder_ / name));
    ASSERT_TRUE(header.has_value()) << name;
    EXPECT_EQ(header->width, 34) << name;
    EXPECT_EQ(header->height, 21) << name;
    const std::string bytes = read(folder_ / name);
    for (size_t size = 0; size < std::min<size_t>(bytes.size(), 700); ++size)
      read_image_header(std::string_view(bytes).substr(0, size));
  }
}

// Decoders allocate what they are told before they see that nothing follows.
TEST_F(CheckTest, RefusesImagesBeforeTheirPixelsAreAllocated) {
  const auto refuse = [&](const std::string& name, const std::string& bytes,
                          const std::string& why) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    expect_parts(message_of<DataError>([&] { read_image_bytes(folder_ / name); }), {name, why});
  };
  const std::string tiff = {'I', 'I', '*', 0, 8, 0, 0, 0, 2, 0};
  const auto tag = [](char low, int64_t value) {
    std::string entry = {low, 1, 4, 0, 1, 0, 0, 0};
    for (int i = 0; i < 4; ++i) entry += static_cast<char>(value >> (8 * i) & 0xff);
    return entry;
  };
  refuse("a.tif", tiff + tag(0, 100000) + tag(1, 100000) + std::string(20, 0), "100000");
  refuse("a.ppm", "P6 # width\n99999 99999\n255\n0", "99999");
  refuse("a.jpg", "#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 99999 +X 99999\n", "no known");
  // Restart markers have no length: whoever reads one is led past the true header to a small one.
  const std::string large = {'\xff', '\xc0', 0, 11, 8, '\xff', '\xff', '\xff', '\xff', 1, 1, 17, 0};
  const std::string small = {'\xff', '\xc0', 0, 11, 8, 0, 1, 0, 1, 1, 1, 17, 0};
  const auto header = read_image_header("\xff\xd8\xff\xd0" + large + small);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->width, 0xffff);
}

}  // namespace
}  // namespace tessera::data
