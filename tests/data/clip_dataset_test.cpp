#include "launcher/data/clip_dataset.h"

#include <set>

#include "tests/data/augment_steps.h"
#include "tests/data/fixture.h"
#include "tests/data/prepared_frames.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::Json;
using test_support::message_of;
using test_support::prepared_frames;

/// Two videos of 8x6 pixels; categories out of order; one instance, one crowd.
class ClipDatasetTest : public test_support::DataTest {
 protected:
  void SetUp() override {
    DataTest::SetUp();
    for (const std::string video : {"a", "b"})
      for (int t = 0; t < 3; ++t)
        write_frame("images/" + video + "/" + std::to_string(t) + ".png", 6, 8, 50 * (t + 1));
    options_.num_frames = 2;
    options_.num_categories = 2;
    options_.train = {(folder_ / "annotations.json").string(), (folder_ / "images").string()};
    options_.normalise = {.mean = {0, 0, 0}, .deviation = {1, 1, 1}};
    // Column-major runs: columns 2 and 3 are the object.
    const Json mask = {{"size", {6, 8}}, {"counts", {12, 12, 24}}};
    document_ = {
        {"categories", {{{"id", 9}, {"name", "nine"}}, {{"id", 4}, {"name", "four"}}}},
        {"videos", {video(1, "a"), video(2, "b")}},
        {"annotations",
         {annotation(1, 9, 0, {mask, mask, nullptr}), annotation(2, 4, 1, {mask, mask, mask})}}};
  }

  static Json video(int64_t id, const std::string& name) {
    return {{"id", id},
            {"width", 8},
            {"height", 6},
            {"length", 3},
            {"file_names", {name + "/0.png", name + "/1.png", name + "/2.png"}}};
  }
  static Json annotation(int64_t id, int64_t category, int crowd, const Json& masks) {
    const Json none = {nullptr, nullptr, nullptr};
    return {{"id", id},         {"video_id", 1},          {"category_id", category},
            {"iscrowd", crowd}, {"segmentations", masks}, {"bboxes", none},
            {"areas", none}};
  }
  ClipDataset open() const {
    write("annotations.json", document_.dump());
    return {options_, options_.train, "train"};
  }

  DataOptions options_;
  Json document_;
};

TEST_F(ClipDatasetTest, KnowsHowLargeItsClipsGet) {
  document_["videos"][1]["width"] = 6;
  document_["videos"][1]["height"] = 10;
  options_.augment.steps = {test_support::step("resize", "short_sides = [12, 24, 18]")};
  const ClipDataset dataset = open();
  EXPECT_EQ(dataset.largest_clip(/*clips_in_batch=*/1).text(), "2 frames of 40x24, 1 instances");
  EXPECT_EQ(dataset.largest_clip(/*clips_in_batch=*/2).text(), "2 frames of 40x32, 1 instances");
}

TEST_F(ClipDatasetTest, LoadsFramesMasksAndMeta) {
  const ClipDataset dataset = open();
  EXPECT_EQ(dataset.size(), 6);
  const ClipSample sample = dataset.load(1, 0, 0);  // video a, frames 0 and 1
  EXPECT_EQ(sample.frames.sizes(), (std::vector<int64_t>{2, 3, 6, 8}));
  EXPECT_NEAR(sample.frames[1][0][3][3].item<float>(), 100.0 / 255, 1e-6);
  EXPECT_EQ(sample.meta.frame_indices, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(sample.meta.video_name, "a");
  ASSERT_EQ(sample.targets.num_instances(), 1) << "crowds are no instances";
  EXPECT_EQ(sample.targets.labels.item<int64_t>(), 1) << "category 9 comes after category 4";
  EXPECT_EQ(sample.targets.masks[0][0].sum(0).nonzero().flatten()[0].item<int64_t>(), 2);
  EXPECT_EQ(sample.targets.masks.sum().item<int64_t>(), 24);
}

TEST_F(ClipDatasetTest, NullFramesAreNotValid) {
  const ClipSample sample = open().load(2, 0, 0);  // frames 1 and 2
  EXPECT_TRUE(at::equal(sample.targets.valid, test_support::valid_row({true, false})));
  EXPECT_EQ(open().load(4, 0, 0).targets.num_instances(), 0);  // the other video has none
}

TEST_F(ClipDatasetTest, TrainingAndInferencePrepareFramesAlike) {
  options_.augment.short_side = 5;
  options_.augment.max_side = 13;
  const at::Tensor frames =
      at::stack({read_image(folder_ / "images/a/0.png"), read_image(folder_ / "images/a/1.png")});
  for (const std::string resize : {"fast", "antialiased"})
    for (const std::string rounding : {"nearest", "down"})
      for (const std::string by : {"constants", "clip"}) {
        options_.resize = resize;
        options_.resize_rounding = rounding;
        options_.normalise.by = by;
        const ClipSample sample = open().load(1, 0, 0);
        const at::Tensor expected =
            prepared_frames(frames, 5, 13, options_.normalise, resizing_of(options_));
        EXPECT_TRUE(at::equal(sample.frames, expected)) << resize << ", " << rounding << ", " << by;
        EXPECT_EQ(sample.frames.size(3), rounding == "down" ? 6 : 7);  // 5 * 8 / 6 is 6.67
      }
}

/// SeqFormer's code draws another sample of any video; the sample's own clip may be empty, too.
TEST_F(ClipDatasetTest, DrawsAnotherClipInPlaceOfOneWithoutInstances) {
  options_.sampling.redraw_empty = true;
  const ClipDataset dataset = open();  // video 2 has a crowd only
  std::set<int64_t> in_place_of_empty;
  for (int64_t epoch = 0; epoch < 20; ++epoch)
    for (int64_t sample = 0; sample < dataset.size(); ++sample) {
      const ClipSample clip = dataset.load(sample, 3, epoch);
      EXPECT_EQ(clip.meta.video_id, 1);
      EXPECT_EQ(clip.targets.num_instances(), 1);
      if (sample < 3) {
        EXPECT_EQ(clip.meta.frame_indices.back(), sample) << "drawn anew for nothing";
      } else {
        in_place_of_empty.insert(clip.meta.frame_indices.back());
      }
    }
  EXPECT_EQ(in_place_of_empty, (std::set<int64_t>{0, 1, 2}));
  EXPECT_EQ(dataset.load(4, 3, 7).meta.frame_indices, dataset.load(4, 3, 7).meta.frame_indices);
}

TEST_F(ClipDatasetTest, NamesASetInWhichNoClipHasAnInstance) {
  options_.sampling.redraw_empty = true;
  options_.min_visible_pixels = 1000;
  const ClipDataset dataset = open();
  expect_parts(message_of<DataError>([&] { dataset.load(0, 0, 0); }),
               {"annotations.json", "an instance", "100 draws", "redraw_empty = false"});
}

TEST_F(ClipDatasetTest, DrawsDependOnSeedEpochAndSampleAlone) {
  options_.augment.steps = {test_support::step("crop", "smallest = 1\nlargest = 8"),
                            test_support::step("photometric")};
  const ClipDataset dataset = open();
  const ClipSample sample = dataset.load(1, 5, 2);
  EXPECT_TRUE(at::equal(sample.frames, dataset.load(1, 5, 2).frames));
  int different = 0;
  for (const auto& [seed, epoch] : {std::pair{6, 2}, {5, 3}, {7, 2}, {5, 4}}) {
    const at::Tensor other = dataset.load(1, static_cast<uint64_t>(seed), epoch).frames;
    different += other.sizes() != sample.frames.sizes() || !at::equal(other, sample.frames);
  }
  EXPECT_EQ(different, 4);
}

TEST_F(ClipDatasetTest, NamesBothCountsOfCategories) {
  options_.num_categories = 40;
  expect_parts(message_of<ConfigError>([&] { open(); }),
               {"data.num_categories", "expected 2", "annotations.json", "got 40"});
}

TEST_F(ClipDatasetTest, NamesAMissingImage) {
  std::filesystem::remove(folder_ / "images/b/1.png");
  expect_parts(message_of<DataError>([&] { open(); }), {"b/1.png", "video 2 ('b')", "frame 1"});
}

TEST_F(ClipDatasetTest, ReducedDecodingShowsTheSameAtTheSamePlace) {
  // A smooth picture, 96x64, as JPEG and as PNG: the one is decoded reduced, the other averaged.
  const at::Tensor ramp = at::empty({64, 96, 3}, at::kByte);
  for (int64_t y = 0; y < 64; ++y)
    for (int64_t x = 0; x < 96; ++x)
      for (int64_t c = 0; c < 3; ++c)
        ramp.data_ptr<uint8_t>()[(y * 96 + x) * 3 + c] =
            static_cast<uint8_t>(40 + x + (c == 1 ? y : 0));
  document_["annotations"].clear();
  for (auto& video : document_["videos"]) {
    video["width"] = 96;
    video["height"] = 64;
  }
  options_.augment.short_side = 15;  // a quarter, and a little less
  const auto load = [&](const std::string& ending) {
    for (const std::string video : {"a", "b"})
      for (int t = 0; t < 3; ++t)
        write_image(folder_ / "images" / video / (std::to_string(t) + ending), ramp);
    for (auto& video : document_["videos"])
      for (size_t t = 0; t < 3; ++t)
        video["file_names"][t] = (video["id"] == 1 ? "a/" : "b/") + std::to_string(t) + ending;
    return open().load(1, 0, 0).frames;
  };
  const at::Tensor jpeg = load(".jpg"), png = load(".png");
  EXPECT_EQ(jpeg.sizes(), (std::vector<int64_t>{2, 3, 15, 23}));
  EXPECT_LT((jpeg - png).abs().max().item<double>(), 4. / 255);
  EXPECT_GT(png.select(3, 22).mean().item<double>(), png.select(3, 0).mean().item<double>() + 0.2);

  write_image(folder_ / "images/a/1.jpg", ramp.slice(1, 0, 94).contiguous());
  for (auto& name : document_["videos"][0]["file_names"]) name = "a/1.jpg";
  expect_parts(message_of<DataError>([&] { open().load(1, 0, 0); }),
               {"a/1.jpg", "expected 96x64", "got 94x64"});
}

TEST_F(ClipDatasetTest, NamesAnImageOfAnotherSize) {
  write_frame("images/a/1.png", 8, 6, 0);
  const ClipDataset dataset = open();
  expect_parts(message_of<DataError>([&] { dataset.load(1, 0, 0); }),
               {"a/1.png", "video 1 ('a')", "frame 1", "expected 8x6", "got 6x8"});
}

TEST_F(ClipDatasetTest, NamesABrokenImage) {
  write("images/a/0.png", "no image");
  const ClipDataset dataset = open();
  expect_parts(message_of<DataError>([&] { dataset.load(0, 0, 0); }),
               {"a/0.png", "video 1 ('a')", "frame 0"});
}

TEST_F(ClipDatasetTest, NamesTheMissingOption) {
  options_.train.images = "";
  expect_parts(message_of<ConfigError>([&] { open(); }), {"data.train.images"});
  options_.train.annotations = "";
  expect_parts(message_of<ConfigError>([&] { open(); }), {"data.train.annotations"});
  options_.train = {(folder_ / "annotations.json").string(), (folder_ / "none").string()};
  expect_parts(message_of<DataError>([&] { open(); }), {"none", "folder of images"});
}

}  // namespace
}  // namespace tessera::data
