#include <algorithm>
#include <map>
#include <set>

#include "launcher/data/clip_dataset.h"
#include "launcher/data/clip_loader.h"
#include "launcher/data/coco.h"
#include "launcher/data/synth.h"
#include "tests/data/augment_steps.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::Json;
using test_support::message_of;

constexpr int64_t kImages = 12;

/// A generated set of videos and a COCO file of images with categories of other ids.
class JointSetsTest : public test_support::DataTest {
 protected:
  void SetUp() override {
    DataTest::SetUp();
    write_synth({.output = folder_ / "videos",
                 .videos = 3,
                 .frames = 4,
                 .height = 40,
                 .width = 60,
                 .format = "png"});
    coco_ = {{"images", Json::array()},
             {"annotations", Json::array()},
             {"categories", {{{"id", 70}, {"name", "left"}}, {{"id", 90}, {"name", "right"}}}}};
    for (int64_t i = 0; i < kImages; ++i) {
      const std::string name = std::to_string(i) + ".png";
      write_frame("images/" + name, 40, 60, static_cast<int>(40 + i));
      coco_["images"].push_back(
          {{"id", 900100000000 + i}, {"width", 60}, {"height", 40}, {"file_name", name}});
      add_box(i, 70, {5, 5, 25, 5, 25, 30, 5, 30});
      add_box(i, 90, {15, 10, 50, 10, 50, 35, 15, 35});
    }
    options_.num_frames = 3;
    options_.num_categories = 5;
    options_.sampling = test_support::sampling("uniform_window");
    options_.train.sets.resize(2);
    options_.train.sets[0].annotations = (folder_ / "videos/annotations.json").string();
    options_.train.sets[0].images = (folder_ / "videos/frames").string();
    options_.train.sets[1].kind = "coco";
    options_.train.sets[1].annotations = (folder_ / "coco.json").string();
    options_.train.sets[1].images = (folder_ / "images").string();
    options_.train.sets[1].class_map = {{70, 2}, {90, 5}};
  }
  void add_box(int64_t image, int64_t category, const std::vector<double>& polygon) {
    coco_["annotations"].push_back({{"id", 1000 + coco_["annotations"].size()},
                                    {"image_id", 900100000000 + image},
                                    {"category_id", category},
                                    {"iscrowd", 0},
                                    {"segmentation", Json::array({polygon})}});
  }
  ClipDataset open() {
    write("coco.json", coco_.dump());
    return ClipDataset(options_, options_.train, "train");
  }

  Json coco_;
  DataOptions options_;
};

TEST_F(JointSetsTest, ASampleOfEitherSetIsAClip) {
  const ClipDataset dataset = open();
  ASSERT_EQ(dataset.size(), 3 + kImages);
  for (int64_t sample = 0; sample < dataset.size(); ++sample) {
    const ClipSample clip = dataset.load(sample, 1, 0);
    EXPECT_EQ(clip.frames.size(0), 3);
    EXPECT_TRUE(at::equal(clip.targets.masks.flatten(2).any(2), clip.targets.valid));
    if (sample < 3) continue;
    EXPECT_EQ(clip.meta.video_id, 900100000000 + sample - 3);
    ASSERT_EQ(clip.targets.labels.numel(), 2);
    EXPECT_EQ(clip.targets.labels[0].item<int64_t>(), 1);  // id 70 -> 2, the second id of 1..5
    EXPECT_EQ(clip.targets.labels[1].item<int64_t>(), 4);
    // The frames differ: they were warped each on its own.
    EXPECT_FALSE(at::equal(clip.frames[0], clip.frames[1]));
    EXPECT_FALSE(at::equal(clip.frames[1], clip.frames[2]));
  }
}

TEST_F(JointSetsTest, NamesTheModelsCategories) {
  EXPECT_EQ(open().categories(),
            (CategoryTable{{1, 2, 3, 4, 5}, {"circle", "square", "triangle", "star", "cross"}}));
  // With class maps alone, an id has the name of the first category that is mapped to it.
  options_.train.sets.erase(options_.train.sets.begin());
  options_.num_frames = 1;
  EXPECT_EQ(open().categories(),
            (CategoryTable{{1, 2, 3, 4, 5},
                           {"category 1", "left", "category 3", "category 4", "right"}}));
}

TEST_F(JointSetsTest, DependsOnSeedEpochAndSampleAlone) {
  const ClipDataset dataset = open();
  const ClipSample first = dataset.load(7, 4, 2);
  dataset.load(8, 4, 2);
  EXPECT_TRUE(at::equal(first.frames, dataset.load(7, 4, 2).frames));
  EXPECT_FALSE(at::equal(first.frames, dataset.load(7, 4, 3).frames));
  EXPECT_FALSE(at::equal(first.frames, dataset.load(7, 5, 2).frames));
}

/// A loader that goes on at a position gives what an uninterrupted one gives, over epochs' ends.
TEST_F(JointSetsTest, GoesOnWhereItStopped) {
  options_.train.sets[1].ratio = 0.4;
  const auto dataset = std::make_shared<const ClipDataset>(open());
  LoaderOptions loading{.batch_size = 2, .seed = 3, .workers = 2};
  ClipLoader whole(dataset, loading);
  std::vector<TrainingBatch> expected;
  for (int i = 0; i < 12; ++i) expected.push_back(whole.next());
  loading.position = 10;
  loading.workers = 0;
  ClipLoader rest(dataset, loading);
  for (int i = 5; i < 12; ++i) {
    const TrainingBatch batch = rest.next();
    EXPECT_EQ(batch.sample_indices, expected[static_cast<size_t>(i)].sample_indices);
    EXPECT_TRUE(at::equal(batch.batch.frames, expected[static_cast<size_t>(i)].batch.frames));
  }
}

TEST_F(JointSetsTest, RatiosSayHowOftenASetIsSeen) {
  options_.train.sets[0].ratio = 2;
  options_.train.sets[1].ratio = 0.25;
  const ClipDataset dataset = open();
  ASSERT_EQ(dataset.size(), 6 + kImages / 4);
  std::map<int64_t, int> seen;
  for (int64_t epoch = 0; epoch < 4; ++epoch)
    for (int64_t sample = 0; sample < dataset.size(); ++sample)
      ++seen[dataset.load(sample, 1, epoch).meta.video_id];
  EXPECT_EQ(seen.size(), 3U + kImages);
  for (const auto& [id, times] : seen)
    EXPECT_EQ(times, id < 1000 ? 8 : 1) << id;  // 4 epochs: twice each, and a quarter each
}

TEST_F(JointSetsTest, ImagesAloneAreClipsOfOneFrame) {
  options_.num_frames = 1;
  const ClipDataset dataset = open();
  const ClipSample clip = dataset.load(3, 1, 0);
  EXPECT_EQ(clip.frames.size(0), 1);
  // As they are: overlapping masks both keep their pixels, polygons filled by COCO's rule.
  EXPECT_EQ(clip.targets.masks[0].sum().item<int64_t>(), 20 * 25);
  EXPECT_EQ(clip.targets.masks[1].sum().item<int64_t>(), 35 * 25);
}

TEST_F(JointSetsTest, ImagesWithTooFewInstancesAreLeftOut) {
  add_box(0, 70, {1, 1, 9, 1, 9, 9});
  coco_["annotations"].erase(2);
  coco_["annotations"].erase(2);  // both of image 1
  EXPECT_EQ(open().size(), 3 + kImages - 1);
  options_.train.sets[1].pseudo_clip.min_instances = 3;
  EXPECT_EQ(open().size(), 3 + 1);
  options_.train.sets[1].class_map = {{70, 2}};  // two of them at most
  expect_parts(message_of<DataError>([&] { open(); }), {"coco.json", "none of 12 images"});
}

/// As in SeqFormer's code, what augmentation leaves is counted.
TEST_F(JointSetsTest, ClipsWithTooFewOrTooManyInstancesAreDrawnAnew) {
  add_box(0, 70, {1, 1, 9, 1, 9, 9});  // image 0 has three
  coco_["annotations"].erase(2);       // image 1 has one
  options_.train.sets[1].pseudo_clip.min_instances = 2;
  options_.train.sets[1].pseudo_clip.max_instances = 2;
  const std::vector<double> small{5, 5, 6, 5, 6, 6};
  coco_["annotations"][3]["segmentation"] = Json::array({small});  // image 2: one is too small
  options_.min_visible_pixels = 20;
  const ClipDataset dataset = open();
  ASSERT_EQ(dataset.size(), 3 + kImages - 1);
  std::set<int64_t> in_place;
  for (int64_t epoch = 0; epoch < 10; ++epoch)
    for (int64_t sample = 3; sample < dataset.size(); ++sample) {
      const ClipSample clip = dataset.load(sample, 1, epoch);
      EXPECT_EQ(clip.targets.num_instances(), 2);
      const int64_t image = clip.meta.video_id - 900100000000;
      EXPECT_GT(image, 2);
      if (sample <= 4) {
        in_place.insert(image);
      } else {
        EXPECT_EQ(image, sample - 2) << "drawn anew for nothing";
      }
    }
  EXPECT_GT(in_place.size(), 5u) << "any other image may be drawn";
  EXPECT_TRUE(at::equal(dataset.load(3, 1, 4).frames, dataset.load(3, 1, 4).frames));
  options_.min_visible_pixels = 100000;
  const ClipDataset none = open();
  expect_parts(message_of<DataError>([&] { none.load(4, 1, 0); }),
               {"coco.json", "2 to 2 instances", "100 draws", "sets[1].pseudo_clip.min_instances"});
}

/// SeqFormer's code distorts the colours of videos; for pseudo-clips that line is commented out.
TEST_F(JointSetsTest, PhotometricStepsAreOfVideosUnlessAsked) {
  PseudoClipOptions& pseudo = options_.train.sets[1].pseudo_clip;
  pseudo.perspective = pseudo.rotate = pseudo.translate = pseudo.blur_probability = 0;
  pseudo.brightness = pseudo.hue_saturation = 0;
  const AugmentStepOptions photometric = test_support::step("photometric");
  const AugmentStepOptions flip = test_support::step("flip");
  options_.normalise = {.mean = {0, 0, 0}, .deviation = {1.0 / 255, 1.0 / 255, 1.0 / 255}};
  const auto changed = [&](int64_t first, int64_t count) {
    options_.augment.steps = {photometric, flip};
    const ClipDataset dataset = open();
    options_.augment.steps = {flip};
    const ClipDataset plain = open();
    int different = 0;
    for (int64_t sample = first; sample < first + count; ++sample)
      different +=
          !at::allclose(dataset.load(sample, 1, 0).frames, plain.load(sample, 1, 0).frames, 0, 0.5);
    return different;
  };
  EXPECT_GT(changed(0, 3), 1) << "videos";
  EXPECT_EQ(changed(3, kImages), 0) << "pseudo-clips";
  pseudo.photometric = true;
  EXPECT_GT(changed(3, kImages), kImages / 2) << "pseudo-clips that are to be distorted";
}

TEST_F(JointSetsTest, SetsThatDoNotFitAreRefused) {
  const auto message = [&] { return message_of<ConfigError>([&] { open(); }); };
  auto& map = options_.train.sets[1].class_map;
  map = {{70, 2}, {71, 3}};
  expect_parts(message(), {"data.train.sets[1].class_map", "coco.json", "71"});
  map = {{70, 2}, {70, 3}};
  expect_parts(message(), {"data.train.sets[1].class_map", "70 a second time"});
  map = {{70, 2}, {90, 6}};
  expect_parts(message(), {"data.train.sets[1].class_map", "6", "1, 2, 3, 4, 5"});
  map = {};
  expect_parts(message(), {"data.train.sets[1].class_map", "70", "need a class_map"});
  map = {{70, 2}};
  options_.num_categories = 40;
  expect_parts(message(), {"num_categories", "expected 5"});
}

TEST_F(JointSetsTest, FaultsOfACocoFileAreNamed) {
  const auto message = [&] { return message_of<DataError>([&] { open(); }); };
  const Json good = coco_;
  for (Json& annotation : coco_["annotations"]) annotation["segmentation"] = nullptr;
  expect_parts(message(), {"coco.json", "got none in all 24 annotations"});
  coco_ = good;
  coco_["annotations"][3]["image_id"] = 5;
  expect_parts(message(), {"coco.json", "annotation 1003", "'image_id'", "5"});
  coco_ = good;
  coco_["annotations"][3]["segmentation"] = {{"size", {40, 61}}, {"counts", {0, 2440}}};
  expect_parts(message(), {"annotation 1003", "40 x 60", "40 x 61"});
  coco_ = good;
  coco_["images"][2]["file_name"] = "/etc/passwd";
  expect_parts(message(), {"image 900100000002", "within the data folder"});
  coco_ = good;
  coco_["images"][2]["width"] = 1000000000;
  coco_["images"][2]["height"] = 1000000000;
  expect_parts(message(), {"image 900100000002", "1000000000 x 1000000000"});
  coco_ = good;
  std::filesystem::remove(folder_ / "images/4.png");
  expect_parts(message(), {"4.png", "900100000004"});
  for (const std::string& text : {std::string("{\"images\": [}"), std::string("[]"),
                                  std::string("{\"images\": [{]}, \"annotations\": []}"),
                                  std::string("{\"images\": []}"), std::string(100000, '[')}) {
    const auto file = write("broken.json", text);
    const std::string broken = message_of<DataError>([&] { read_coco(file); });
    expect_parts(broken, {"broken.json"});
    EXPECT_EQ(broken.find("broken.json", broken.find("broken.json") + 1), broken.npos) << broken;
  }
}

// Boxes without a mask are left out and counted, as COCO's own readers do.
TEST_F(JointSetsTest, BoxesWithoutAMaskAreCounted) {
  EXPECT_TRUE(open().warnings().empty());
  coco_["annotations"][3]["segmentation"] = Json::array();
  coco_["annotations"][5].erase("segmentation");
  const auto warnings = open().warnings();
  ASSERT_EQ(warnings.size(), 1U);
  expect_parts(warnings[0], {"coco.json", "2 of 24 annotations", "boxes without a mask"});
}

TEST_F(JointSetsTest, AByteOrderMarkIsSkipped) {
  const auto file = write("marked.json", "\xef\xbb\xbf" + coco_.dump());
  EXPECT_EQ(read_coco(file).annotations.size(), 24U);
}

}  // namespace
}  // namespace tessera::data
