#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "launcher/experiment.h"

namespace tessera {
namespace {

/// Experiments that claim a published figure resize as their authors' codes do. What is small
/// enough for a CPU core keeps the fast way.
TEST(PublishedExperiments, ResizeAsTheirAuthorsCodesDo) {
  Registry registry(Registry::default_search_paths());
  const std::set<std::string> from_detectron2 = {"ifc", "mask2former", "minvis"};
  int published = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TESSERA_SOURCE_DIR "/experiments")) {
    if (entry.path().extension() != ".toml") continue;
    const std::string name = entry.path().stem().string();
    const std::string family = name.substr(0, name.find('_'));
    const DataOptions data = load_experiment(entry.path(), {}, registry).data;
    if (family == "quickstart") {
      EXPECT_EQ(data.resize, "fast") << name;
      continue;
    }
    ++published;
    EXPECT_EQ(data.resize, "antialiased") << name;
    EXPECT_EQ(data.resize_rounding, from_detectron2.contains(family) ? "nearest" : "down") << name;
    EXPECT_EQ(data.sampling.redraw_empty, family == "seqformer" || family == "mssts") << name;
    for (const AugmentStepOptions& step : data.augment.steps) {
      if (step.name != "photometric") continue;
      const ConfigNode options = step.descriptor->schema().write(step.options.get());
      for (const std::string key : {"per_frame", "wrap_overflow"})
        EXPECT_EQ(to_toml_value(*options.find(key)), "true") << name << ", " << key;
    }
  }
  EXPECT_GT(published, 40);
}

}  // namespace
}  // namespace tessera
