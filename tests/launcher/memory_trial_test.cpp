#include "launcher/training/memory_trial.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "launcher/model/noise_clip.h"
#include "launcher/peak_memory.h"
#include "tests/launcher/composed_system.h"

namespace tessera {
namespace {

class MemoryTrial : public testing::Test {
 protected:
  ChosenStep choose(const std::string& limit) {
    experiment().train.memory = limit;
    Criterion criterion(experiment().loss, composed_.model.facts());
    const ClipBatch batch = noise_clip({experiment().data.num_frames, 64, 96}, 1, /*clips=*/2);
    const Targets targets = moving_targets(batch, 3, experiment().data.num_categories);
    return choose_by_trial(experiment(), composed_.model, criterion, {}, batch, targets,
                           Communicator());
  }
  Experiment& experiment() { return composed_.experiment; }

  // Running statistics change with every forward pass.
  test_support::Composed composed_{"quickstart_deformable",
                                   {"model.backbone.frozen_statistics=false"}};
};

TEST_F(MemoryTrial, ChoosesNothingWhereAllFitsAndLeavesTheModelAsItWas) {
  std::vector<at::Tensor> before;
  for (const NamedTensor& tensor : composed_.model.named_tensors())
    before.push_back(tensor.tensor.clone());
  const ChosenStep chosen = choose("500GB");
  EXPECT_EQ(text_of(chosen.recomputed), "nothing");
  // The optimiser's state, two numbers for each trained parameter, is counted.
  EXPECT_GT(chosen.cost.peak_bytes, 2 * 4 * 1'000'000);
  EXPECT_GT(chosen.cost.seconds, 0);
  size_t i = 0;
  for (const NamedTensor& tensor : composed_.model.named_tensors()) {
    EXPECT_TRUE(tensor.tensor.equal(before[i++])) << tensor.name;
    EXPECT_FALSE(tensor.tensor.grad().defined()) << tensor.name;
  }
}

TEST_F(MemoryTrial, SaysWhatIsNeededWhereNothingFits) {
  try {
    choose("10MB");
    FAIL() << "expected an error";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("train.memory: expected at least"), std::string::npos)
        << error.what();
  }
}

TEST(AllocationLimit, AllocationsBeyondItFailAndOthersDoNot) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the address sanitizer ends a process whose allocation fails";
#endif
  constexpr int64_t kMore = int64_t{64} << 20;
  const auto allocate = [](int64_t bytes) { at::empty({bytes}, at::kByte); };
  {
    const AllocationLimit limit(memory_use(at::kCPU).now + kMore);
    allocate(kMore / 4);
    try {
      allocate(8 * kMore);
      FAIL() << "expected an error";
    } catch (const std::exception& error) {
      EXPECT_TRUE(is_out_of_memory(error)) << error.what();
    }
  }
  allocate(8 * kMore);
  EXPECT_FALSE(is_out_of_memory(ConfigError("train.memory: expected more")));
  EXPECT_GT(reachable_memory(), memory_use(at::kCPU).now);
}

}  // namespace
}  // namespace tessera
