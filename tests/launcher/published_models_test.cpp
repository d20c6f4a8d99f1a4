// The shipped experiments are the published models: they compose, with the parameters that were
// published.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/interfaces/build_context.h"
#include "core/interfaces/tracker.h"
#include "launcher/experiment.h"
#include "launcher/inference/window_plan.h"
#include "launcher/model/vis_model.h"
#include "tests/launcher/perfect_tracks.h"

namespace tessera {
namespace {

struct Published {
  const char* experiment;
  double millions;
  double precision;  // of the published number
};

void PrintTo(const Published& published, std::ostream* out) {
  *out << published.experiment;
}

class PublishedModels : public testing::TestWithParam<Published> {};

TEST_P(PublishedModels, HaveTheirPublishedSize) {
  Registry registry(Registry::default_search_paths());
  const auto file = std::filesystem::path(TESSERA_SOURCE_DIR) / "experiments" /
                    (std::string(GetParam().experiment) + ".toml");
  const Experiment experiment = load_experiment(file, {}, registry);
  const VisModel model(experiment.model, experiment.clip_facts());
  double count = 0;
  for (const NamedTensor& tensor : model.named_tensors())
    if (tensor.is_parameter) count += static_cast<double>(tensor.tensor.numel());
  EXPECT_NEAR(count / 1e6, GetParam().millions, GetParam().precision);
}

// Mask2Former (Cheng et al. 2022), instance segmentation: the video model has no parameter more.
INSTANTIATE_TEST_SUITE_P(Mask2FormerVis, PublishedModels,
                         testing::Values(Published{"mask2former_vis_r50_ytvis2019", 44, 0.5},
                                         Published{"mask2former_vis_r101_ytvis2019", 63, 0.5},
                                         Published{"minvis_r50_ovis", 44, 0.5},
                                         Published{"mask2former_vis_swin_t_ytvis2019", 47, 0.5},
                                         Published{"mask2former_vis_swin_s_ytvis2019", 69, 0.5},
                                         Published{"mask2former_vis_swin_b_ytvis2019", 107, 0.5},
                                         Published{"mask2former_vis_swin_l_ytvis2019", 216, 0.5}));

// Sizes of the reference implementations (SimVTR: that of the report's composition).
INSTANTIATE_TEST_SUITE_P(VisTr, PublishedModels,
                         testing::Values(Published{"vistr_r50", 57.12, 0.005},
                                         Published{"vistr_r101", 76.06, 0.005},
                                         Published{"simvtr_r50_ytvis2021", 47.11, 0.005}));

// SeqFormer (Wu et al. 2022): 49.3 million with what its checkpoints hold beyond the model, which
// docs/seqformer.md counts; 48.01 are in the reference's keys without that.
INSTANTIATE_TEST_SUITE_P(SeqFormer, PublishedModels,
                         testing::Values(Published{"seqformer_r50_ytvis2019", 48.01, 0.01},
                                         Published{"seqformer_r50_ytvis2021", 48.01, 0.01}));

// IFC (Hwang et al. 2021): the sum over the layers of the authors' code.
INSTANTIATE_TEST_SUITE_P(Ifc, PublishedModels,
                         testing::Values(Published{"ifc_r50_ytvis2019", 39.148, 0.001}));

// MS-STS VIS states that it is comparable in size to SeqFormer's 49.3 million.
INSTANTIATE_TEST_SUITE_P(MsSts, PublishedModels,
                         testing::Values(Published{"mssts_r50_ytvis2019", 46, 2}));

// A discriminator that drops its rate at other times than its model is no longer its match.
TEST(AuxiliaryNetworks, FollowTheModelsScheduleUnlessTheyHaveTheirOwn) {
  Registry registry(Registry::default_search_paths());
  auto drops_of = [&](const std::vector<std::string>& overrides) {
    const Experiment experiment = load_experiment(
        TESSERA_SOURCE_DIR "/experiments/mssts_r50_ytvis2019.toml", overrides, registry);
    return experiment.auxiliaries.at(0).schedule.value().kind->drops();
  };
  EXPECT_EQ(drops_of({"train.schedule.drops=[3, 5]"}), (std::vector<double>{3, 5}));
  EXPECT_EQ(drops_of({"auxiliaries=[{name=\"d\", network={plugin=\"patch_discriminator\"}, "
                      "schedule={kind=\"multi_step\", drops=[7]}}]"}),
            (std::vector<double>{7}));
}

/// The ground truth of 40 frames, cut into the experiment's windows and joined by its tracker:
/// every object has one track from the first window to the last.
void expect_tracks_kept(const Experiment& experiment, const VisModel& model) {
  BuildContext facts = model.facts();
  facts.linker = facts.make(experiment.inference.linker);
  const auto tracker = facts.make(experiment.inference.tracker);
  WindowNeeds needs;
  needs.fixed_frames = model.needs().fixed_frames;
  const std::vector<Window> windows = WindowPlan(experiment.inference, needs, *tracker).of(40);
  const auto joined = tracker->begin();
  std::vector<int64_t> first_tracks;
  int64_t end = 0;
  for (size_t i = 0; i < windows.size(); ++i) {
    const auto shift = static_cast<int64_t>(i);
    TrackerInput input;
    input.rows = test_support::perfect_tracks(windows[i], shift);
    input.num_frames = windows[i].length;
    input.overlap = end - windows[i].start;
    const std::vector<int64_t> track_of_row = joined->update(input).track_of_row;
    end = windows[i].start + windows[i].length;
    for (int64_t object = 0; object < test_support::kObjects; ++object) {
      const int64_t track = track_of_row.at(test_support::row_of(object, shift));
      if (i == 0) first_tracks.push_back(track);
      EXPECT_EQ(track, first_tracks.at(object)) << "object " << object << ", window " << i;
    }
  }
  EXPECT_EQ(end, 40);
}

// Every shipped file composes a model with parameters, and keeps tracks over its windows; its
// options alone are what config check sees.
class ShippedExperiments : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(ShippedExperiments, ComposeAndKeepTracksOverWindows) {
  Registry registry(Registry::default_search_paths());
  const Experiment experiment = load_experiment(GetParam().string(), {}, registry);
  const VisModel model(experiment.model, experiment.clip_facts());
  EXPECT_FALSE(model.named_tensors().empty());
  expect_tracks_kept(experiment, model);
}

std::vector<std::filesystem::path> shipped_experiments() {
  std::vector<std::filesystem::path> files;
  for (const char* folder : {"/experiments", "/experiments/smoke"})
    for (const auto& entry :
         std::filesystem::directory_iterator(std::string(TESSERA_SOURCE_DIR) + folder))
      if (entry.path().extension() == ".toml") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(Shipped, ShippedExperiments, testing::ValuesIn(shipped_experiments()),
                         [](const auto& file) {
                           const std::string folder = file.param.parent_path().stem().string();
                           return (folder == "smoke" ? "smoke_" : "") + file.param.stem().string();
                         });

}  // namespace
}  // namespace tessera
