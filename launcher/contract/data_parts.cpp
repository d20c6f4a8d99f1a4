#include "launcher/contract/data_parts.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <string>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/data/augmentation_plan.h"

namespace tessera::contract {
namespace {

// Non-square, and larger than the smallest sizes that a step may crop or resize to.
constexpr int kFrameHeight = 60, kFrameWidth = 90;
constexpr int kInstances = 2;
constexpr uint64_t kSeeds = 6;

void promise(bool holds, const std::string& expected) {
  if (!holds) throw RuntimeError("expected " + expected + ".");
}

/// Frames of noise; the second instance is absent from the first of several frames.
data::ClipImages make_clip(int64_t num_frames) {
  data::ClipImages clip;
  clip.masks.resize(kInstances);
  cv::RNG noise(7);
  for (int t = 0; t < num_frames; ++t) {
    cv::Mat frame(kFrameHeight, kFrameWidth, CV_8UC3);
    noise.fill(frame, cv::RNG::UNIFORM, 0, 256);
    for (int n = 0; n < kInstances; ++n) {
      cv::Mat mask(kFrameHeight, kFrameWidth, CV_8UC1, cv::Scalar(0));
      cv::rectangle(mask, {10 + 40 * n + t, 15 + t, 25, 30}, 1, cv::FILLED);
      const bool is_absent = n == 1 && t == 0 && num_frames > 1;
      clip.masks[static_cast<size_t>(n)].push_back(is_absent ? cv::Mat() : mask);
    }
    clip.frames.push_back(frame);
  }
  return clip;
}

void check_clip(const data::ClipImages& clip, const data::AugmentationPlan& plan,
                int64_t num_frames, bool antialiased) {
  promise(static_cast<int64_t>(clip.frames.size()) == num_frames && clip.masks.size() == kInstances,
          "the same number of frames and instances as before");
  const cv::Size size = plan.size();
  for (const cv::Mat& frame : clip.frames) {
    promise(frame.size() == size, "frames of the size that the plan states");
    promise(frame.type() == (antialiased ? CV_8UC3 : frame.type()), "whole levels if antialiased");
    double low = 0, high = 0;
    cv::minMaxLoc(frame.reshape(1), &low, &high);
    promise(low >= 0 && high <= 255, "levels of 0 to 255");
  }
  for (const auto& track : clip.masks)
    for (const cv::Mat& mask : track)
      promise(mask.empty() || (mask.size() == size && cv::countNonZero(mask > 1) == 0),
              "masks of 0 and 1 of the frames' size");
}

data::ClipImages augmented(const Augmentation& part, int64_t num_frames, uint64_t seed,
                           bool antialiased) {
  Random random({seed});
  data::AugmentationPlan plan({kFrameWidth, kFrameHeight}, static_cast<size_t>(num_frames),
                              {.antialiased = antialiased});
  plan.set_step("contract");
  part.plan(plan, random);
  promise(plan.height() >= 1 && plan.width() >= 1, "a clip of at least one pixel");
  data::ClipImages clip = make_clip(num_frames);
  plan.apply(clip);
  check_clip(clip, plan, num_frames, antialiased);
  return clip;
}

at::Tensor floats_of(const cv::Mat& image) {
  cv::Mat levels;
  image.convertTo(levels, CV_32F);
  return at::from_blob(levels.data, {levels.rows, levels.cols, levels.channels()}, at::kFloat)
      .clone();
}

std::vector<at::Tensor> tensors_of(const data::ClipImages& clip) {
  std::vector<at::Tensor> tensors;
  for (const cv::Mat& frame : clip.frames) tensors.push_back(floats_of(frame));
  for (const auto& track : clip.masks)
    for (const cv::Mat& mask : track)
      tensors.push_back(mask.empty() ? at::zeros({1}) : floats_of(mask));
  return tensors;
}

void check_same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    promise(at::equal(a[i], b[i]), "the same result for the same random numbers");
}

std::vector<int64_t> drawn(const Sampler& part, const SampledVideo& video, int64_t frame,
                           uint64_t seed) {
  Random random({seed});
  return part.draw(video, frame, random);
}

void check_video(const Sampler& part, const SampledVideo& video, int64_t num_frames) {
  const std::string where = " in a video of " + std::to_string(video.length) + " frames";
  const int64_t wanted = part.clip_length(video.length, num_frames);
  promise(wanted >= 1, "a clip_length() of at least 1" + where);
  for (const int64_t frame : part.samples(video))
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      const std::vector<int64_t> frames = drawn(part, video, frame, seed);
      promise(static_cast<int64_t>(frames.size()) == wanted,
              "clip_length() frames, " + std::to_string(wanted) + where);
      promise(std::all_of(frames.begin(), frames.end(),
                          [&](int64_t t) { return t >= 0 && t < video.length; }),
              "frames of 0 to " + std::to_string(video.length - 1) + where);
      promise(frames == drawn(part, video, frame, seed),
              "the same clip for the same random numbers" + where);
    }
}

}  // namespace

std::vector<at::Tensor> run_augmentation(const Augmentation& part, int64_t num_frames) {
  std::vector<at::Tensor> outputs;
  for (const bool antialiased : {false, true})
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      const std::vector<at::Tensor> tensors =
          tensors_of(augmented(part, num_frames, seed, antialiased));
      check_same(tensors, tensors_of(augmented(part, num_frames, seed, antialiased)));
      outputs.insert(outputs.end(), tensors.begin(), tensors.end());
    }
  return outputs;
}

std::vector<at::Tensor> run_sampler(const Sampler& part, int64_t num_frames) {
  constexpr int64_t kLongest = 40;
  promise(part.span(num_frames) >= 1, "a span() of at least 1 frame");
  std::vector<at::Tensor> outputs;
  int64_t samples = 0;
  for (int64_t length = 1; length <= kLongest; ++length) {
    const at::Tensor present = at::ones({kInstances, length}, at::kBool);
    present.select(0, 1).narrow(0, 0, length / 2).fill_(false);
    for (const at::Tensor& instances : {present, present.narrow(0, 0, 0)}) {
      const SampledVideo video{length, instances};
      check_video(part, video, num_frames);
      for (const int64_t frame : part.samples(video)) {
        outputs.push_back(at::tensor(drawn(part, video, frame, 1)).to(at::kFloat));
        ++samples;
      }
    }
  }
  promise(samples > 0, "a sample of some video of 1 to 40 frames");
  return outputs;
}

}  // namespace tessera::contract
