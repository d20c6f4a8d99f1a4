#include "launcher/data/synth.h"

#include <map>

#include "launcher/data/synth_scene.h"
#include "launcher/data/ytvis.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::message_of;

class SynthTest : public test_support::DataTest {
 protected:
  SynthOptions options(const std::string& name, uint64_t seed) const {
    return {.output = folder_ / name,
            .videos = 6,
            .frames = 8,
            .height = 60,
            .width = 90,
            .seed = seed,
            .max_instances = 5,
            .format = "png"};
  }
};

at::Tensor mask_tensor(const Rle& rle) {
  std::vector<uint8_t> pixels = to_mask(rle);
  return at::from_blob(pixels.data(), {rle.height, rle.width}, at::kByte).to(at::kBool);
}

TEST_F(SynthTest, IsAStrictlyValidDataSet) {
  const SynthSummary summary = write_synth(options("a", 1));
  const AnnotationFile file = read_annotations(folder_ / "a/annotations.json");
  EXPECT_EQ(file.videos.size(), 6U);
  EXPECT_EQ(file.categories.size(), synth_shapes().size());
  EXPECT_EQ(static_cast<int64_t>(file.annotations.size()), summary.instances);
  std::map<int64_t, int> instances;
  for (const Annotation& annotation : file.annotations) {
    ++instances[annotation.video_id];
    bool seen = false;
    for (size_t t = 0; t < 8; ++t) {
      const auto& rle = annotation.segmentations[t];
      ASSERT_EQ(rle.has_value(), annotation.areas[t].has_value());
      ASSERT_EQ(rle.has_value(), annotation.bboxes[t].has_value());
      if (!rle) continue;
      seen = true;
      EXPECT_GE(area(*rle), static_cast<uint64_t>(kSmallestSynthArea));
      EXPECT_EQ(static_cast<double>(area(*rle)), *annotation.areas[t]);
      EXPECT_EQ(bounding_box(*rle), *annotation.bboxes[t]);
    }
    EXPECT_TRUE(seen);
  }
  EXPECT_EQ(instances.size(), 6U) << "no video is empty";
}

/// What is annotated is no background, what is not annotated is (but for slivers), to the pixel.
TEST_F(SynthTest, MasksAreRightToThePixel) {
  write_synth(options("a", 1));
  const AnnotationFile file = read_annotations(folder_ / "a/annotations.json");
  for (size_t v = 0; v < file.videos.size(); ++v)
    for (size_t t = 0; t < 8; ++t) {
      const at::Tensor image = read_image(folder_ / "a/frames" / file.videos[v].file_names[t]);
      // The background keeps to 90..165 in every channel; an object leaves that by 60 in one.
      const at::Tensor far = image.le(30).logical_or(image.ge(225)).any(2);
      const at::Tensor near = image.ge(90).logical_and(image.le(165)).all(2);
      at::Tensor annotated = at::zeros({60, 90}, at::kBool);
      int64_t pixels = 0;
      for (const Annotation& annotation : file.annotations) {
        if (annotation.video_index != v || !annotation.segmentations[t]) continue;
        const at::Tensor mask = mask_tensor(*annotation.segmentations[t]);
        annotated.logical_or_(mask);
        pixels += mask.sum().item<int64_t>();
      }
      EXPECT_EQ(annotated.sum().item<int64_t>(), pixels) << "masks overlap";
      EXPECT_TRUE(far.logical_or(annotated.logical_not()).all().item<bool>());
      const int64_t slivers = far.logical_and(annotated.logical_not()).sum().item<int64_t>();
      EXPECT_LT(slivers, 5 * kSmallestSynthArea);
      EXPECT_TRUE(near.logical_or(far).all().item<bool>()) << "between object and background";
    }
}

TEST_F(SynthTest, HasOcclusionsAndObjectsThatComeAndGo) {
  SynthOptions many = options("a", 5);
  many.videos = 12;
  many.frames = 20;
  write_synth(many);
  int absent = 0;
  for (const Annotation& annotation : read_annotations(folder_ / "a/annotations.json").annotations)
    for (const auto& rle : annotation.segmentations) absent += !rle.has_value();
  EXPECT_GT(absent, 10);
}

TEST_F(SynthTest, DependsOnItsSeedAlone) {
  write_synth(options("a", 1));
  write_synth(options("b", 1));
  write_synth(options("c", 2));
  const auto file = [&](const std::string& name, const std::string& rest) {
    return read(folder_ / name / rest);
  };
  EXPECT_EQ(file("a", "annotations.json"), file("b", "annotations.json"));
  EXPECT_EQ(file("a", "frames/0003/00004.png"), file("b", "frames/0003/00004.png"));
  EXPECT_NE(file("a", "annotations.json"), file("c", "annotations.json"));
  EXPECT_NE(file("a", "frames/0003/00004.png"), file("c", "frames/0003/00004.png"));
}

TEST_F(SynthTest, RefusesWhatItCannotMake) {
  SynthOptions wrong = options("a", 1);
  wrong.height = 5;
  expect_parts(message_of<ConfigError>([&] { write_synth(wrong); }), {"--height", "32", "5"});
  wrong = options("a", 1);
  wrong.format = "gif";
  expect_parts(message_of<ConfigError>([&] { write_synth(wrong); }), {"--format", "gif"});
  write_synth(options("a", 1));
  expect_parts(message_of<ConfigError>([&] { write_synth(options("a", 1)); }), {"--overwrite"});
  wrong = options("a", 1);
  wrong.overwrite = true;
  EXPECT_EQ(write_synth(wrong).videos, 6);
  write("file", "");
  expect_parts(message_of<RuntimeError>([&] { write_synth(options("file/sub", 1)); }),
               {"file/sub"});
}

}  // namespace
}  // namespace tessera::data
