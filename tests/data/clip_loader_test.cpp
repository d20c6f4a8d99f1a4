#include "launcher/data/clip_loader.h"

#include <chrono>
#include <thread>

#include "launcher/data/synth.h"
#include "tests/data/augment_steps.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::message_of;

void expect_same(const TrainingBatch& a, const TrainingBatch& b) {
  EXPECT_EQ(a.sample_indices, b.sample_indices);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_TRUE(at::equal(a.batch.frames, b.batch.frames));
  EXPECT_TRUE(at::equal(a.batch.padding_mask, b.batch.padding_mask));
  ASSERT_EQ(a.targets.size(), b.targets.size());
  for (size_t i = 0; i < a.targets.size(); ++i) {
    EXPECT_TRUE(at::equal(a.targets[i].labels, b.targets[i].labels));
    EXPECT_TRUE(at::equal(a.targets[i].boxes, b.targets[i].boxes));
    EXPECT_TRUE(at::equal(a.targets[i].masks, b.targets[i].masks));
    EXPECT_TRUE(at::equal(a.targets[i].valid, b.targets[i].valid));
  }
}

class ClipLoaderTest : public test_support::DataTest {
 protected:
  void SetUp() override {
    DataTest::SetUp();
    write_synth({.output = folder_, .videos = 3, .frames = 5, .height = 48, .width = 64});
    DataOptions options;
    options.num_frames = 3;
    options.num_categories = 5;
    options.sampling = test_support::sampling("window_ending_at", "every = 2");  // 9 samples
    options.train = {(folder_ / "annotations.json").string(), (folder_ / "frames").string()};
    options.augment.steps = {test_support::step("flip", "probability = 0.5"),
                             test_support::step("resize", "short_sides = [30, 40, 50]"),
                             test_support::step("photometric")};
    dataset_ = std::make_shared<ClipDataset>(options, options.train, "train");
  }

  std::vector<TrainingBatch> take(const LoaderOptions& options, int count) const {
    ClipLoader loader(dataset_, options);
    std::vector<TrainingBatch> batches;
    for (int i = 0; i < count; ++i) batches.push_back(loader.next());
    return batches;
  }

  std::shared_ptr<ClipDataset> dataset_;
};

TEST_F(ClipLoaderTest, GivesTheSameWhateverTheNumberOfWorkers) {
  const auto expected = take({.batch_size = 2, .seed = 3, .size_divisor = 8}, 7);
  for (const int64_t workers : {1, 2, 4}) {
    const auto batches =
        take({.batch_size = 2, .seed = 3, .size_divisor = 8, .workers = workers}, 7);
    for (size_t i = 0; i < expected.size(); ++i) expect_same(batches[i], expected[i]);
  }
}

TEST_F(ClipLoaderTest, KeepsTheOrderForASlowReader) {
  const auto expected = take({.batch_size = 1, .seed = 3}, 6);
  ClipLoader loader(dataset_, {.batch_size = 1, .seed = 3, .workers = 4});
  for (const TrainingBatch& batch : expected) {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));  // many batches lie ready
    expect_same(loader.next(), batch);
  }
}

TEST_F(ClipLoaderTest, GoesOnWhereItStopped) {
  const LoaderOptions options{.batch_size = 2, .seed = 3, .workers = 2};
  const auto expected = take(options, 7);
  LoaderOptions later = options;
  {
    ClipLoader loader(dataset_, options);
    for (int i = 0; i < 3; ++i) loader.next();
    later.position = loader.position();
  }
  EXPECT_EQ(later.position, 6) << "samples consumed, not those prepared ahead";
  const auto rest = take(later, 4);
  for (size_t i = 0; i < rest.size(); ++i) expect_same(rest[i], expected[i + 3]);
}

TEST_F(ClipLoaderTest, GoesOverTheEndOfAnEpochWithoutLosingSamples) {
  const auto batches = take({.batch_size = 2, .seed = 3}, 9);  // two epochs of 9
  std::vector<int> counts(9, 0);
  for (const auto& batch : batches)
    for (const int64_t sample : batch.sample_indices) ++counts[static_cast<size_t>(sample)];
  EXPECT_EQ(counts, std::vector<int>(9, 2));
  EXPECT_EQ(batches[4].epoch, 0);
  EXPECT_EQ(batches[5].epoch, 1);
}

TEST_F(ClipLoaderTest, RanksShareWhatOneProcessWouldTake) {
  const auto whole = take({.batch_size = 4, .seed = 3}, 2);
  for (int64_t rank = 0; rank < 2; ++rank) {
    const auto share = take({.batch_size = 2, .seed = 3, .rank = rank, .num_ranks = 2}, 2);
    for (size_t step = 0; step < 2; ++step)
      for (size_t i = 0; i < 2; ++i)
        EXPECT_EQ(share[step].sample_indices[i],
                  whole[step].sample_indices[static_cast<size_t>(rank) * 2 + i]);
  }
  ClipLoader loader(dataset_, {.batch_size = 2, .rank = 1, .num_ranks = 2});
  loader.next();
  EXPECT_EQ(loader.position(), 4);
}

TEST_F(ClipLoaderTest, PadsToTheDivisorWithTargetsAlike) {
  for (const TrainingBatch& batch : take({.batch_size = 3, .seed = 1, .size_divisor = 32}, 3)) {
    const int64_t height = batch.batch.frames.size(3);
    const int64_t width = batch.batch.frames.size(4);
    EXPECT_EQ(height % 32, 0);
    EXPECT_EQ(width % 32, 0);
    for (size_t b = 0; b < 3; ++b) {
      const ClipTargets& targets = batch.targets[b];
      EXPECT_EQ(targets.masks.size(2), height);
      EXPECT_EQ(targets.masks.size(3), width);
      const at::Tensor padded = batch.batch.padding_mask[static_cast<int64_t>(b)];
      EXPECT_EQ(padded.logical_not().sum().item<int64_t>(), 3 * targets.height * targets.width);
      EXPECT_FALSE(targets.masks.logical_and(padded).any().item<bool>());
      const at::Tensor frames = batch.batch.frames[static_cast<int64_t>(b)];
      EXPECT_EQ(frames.mul(padded.unsqueeze(1)).abs().sum().item<float>(), 0);
    }
  }
}

TEST_F(ClipLoaderTest, RethrowsWhatAWorkerMet) {
  std::filesystem::remove_all(folder_ / "frames" / "0002");
  for (const int64_t workers : {0, 2}) {
    ClipLoader loader(dataset_, {.batch_size = 1, .seed = 3, .workers = workers});
    const auto all = [&] {
      for (int i = 0; i < 9; ++i) loader.next();
    };
    const std::string message = message_of<DataError>(all);
    expect_parts(message, {"0002", "video 2", "frame"});
    EXPECT_EQ(message_of<DataError>([&] { loader.next(); }), message);
  }
}

TEST_F(ClipLoaderTest, RefusesCountsOutOfRange) {
  expect_parts(message_of<RuntimeError>([&] { ClipLoader(dataset_, {.batch_size = 0}); }),
               {"batch_size"});
  expect_parts(message_of<RuntimeError>([&] { ClipLoader(dataset_, {.rank = 2, .num_ranks = 2}); }),
               {"num_ranks"});
}

}  // namespace
}  // namespace tessera::data
