#include "launcher/data/clip_loader.h"
#include "launcher/data/frame_source.h"
#include "tests/data/augment_steps.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

class MinivisTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = test_support::shared_folder() / "data" / "minivis";
    if (!std::filesystem::exists(folder_))
      GTEST_SKIP() << "no " << folder_ << ": set TESSERA_SHARED";
  }

  DataOptions options_for(const std::string& name, int64_t num_frames) const {
    DataOptions options;
    options.num_frames = num_frames;
    options.num_categories = 40;
    options.train = {(folder_ / "annotations" / name).string(), (folder_ / "JPEGImages").string()};
    const AugmentStepOptions flip = test_support::step("flip", "probability = 0.5");
    const AugmentStepOptions crop =
        test_support::step("crop", "short_sides = [200, 250]\nsmallest = 150\nlargest = 300");
    options.augment = {.steps = {flip, crop}, .short_side = 96, .max_side = 160};
    return options;
  }

  std::filesystem::path folder_;
};

TEST_F(MinivisTest, LoadsTrainingClips) {
  const DataOptions options = options_for("train.json", 6);
  const auto dataset = std::make_shared<ClipDataset>(options, options.train, "train");
  EXPECT_EQ(dataset->size(), 179);
  ClipLoader loader(dataset, {.batch_size = 3, .seed = 1, .size_divisor = 32, .workers = 2});
  int64_t instances = 0;
  for (int i = 0; i < 4; ++i) {
    const TrainingBatch batch = loader.next();
    EXPECT_EQ(batch.batch.frames.size(3) % 32, 0);
    EXPECT_TRUE(batch.batch.frames.isfinite().all().item<bool>());
    for (const ClipTargets& targets : batch.targets) {
      instances += targets.num_instances();
      EXPECT_TRUE(at::equal(targets.masks.flatten(2).any(2), targets.valid));
      EXPECT_TRUE(at::equal(targets.boxes.sum(2) > 0, targets.valid));
      EXPECT_LE(targets.boxes.numel() == 0 ? 0 : targets.boxes.max().item<float>(), 1);
    }
  }
  EXPECT_GT(instances, 0);
}

TEST_F(MinivisTest, CrowdsAreNoInstances) {
  DataOptions options = options_for("oneframe.json", 1);
  options.augment = {};
  const ClipDataset dataset(options, options.train, "train");
  EXPECT_EQ(dataset.annotations().annotations.size(), 60U);
  EXPECT_EQ(dataset.load(0, 1, 0).targets.num_instances(), 22);
  EXPECT_EQ(dataset.load(1, 1, 0).targets.num_instances(), 36);
}

TEST_F(MinivisTest, OpensItsVideosForInference) {
  const auto videos = open_videos(folder_ / "annotations" / "valid.json");
  ASSERT_EQ(videos.size(), 5U);
  for (const InferenceVideo& video : videos) {
    const at::Tensor frame = video.read(video.length - 1);
    EXPECT_EQ(frame.size(0), video.height);
    EXPECT_EQ(frame.size(1), video.width);
  }
}

}  // namespace
}  // namespace tessera::data
