#include "launcher/inference/window_features.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "launcher/data/frame_tensor.h"
#include "launcher/inference/structures.h"
#include "launcher/inference/window_frames.h"

namespace tessera {
namespace {

/// Puts the features of some frames where they belong among those of all frames. Joining a list of
/// parts at the end would take the memory twice.
void put_frames(FeaturePyramid& whole, FeaturePyramid part, int64_t num_frames, int64_t first) {
  if (whole.levels.empty()) {
    whole = changed(part, [num_frames](const at::Tensor& tensor, Leading leading) {
      if (leading != Leading::frames) return tensor;
      std::vector<int64_t> sizes = tensor.sizes().vec();
      sizes[1] = num_frames;
      return at::empty(sizes, tensor.options());
    });
  }
  std::vector<at::Tensor> places;
  for_each_tensor(whole, [&places](at::Tensor& tensor, Leading) { places.push_back(tensor); });
  size_t index = 0;
  for_each_tensor(part, [&](at::Tensor& tensor, Leading leading) {
    const at::Tensor& place = places.at(index++);
    if (tensor.defined() && leading == Leading::frames)
      place.narrow(1, first, tensor.size(1)).copy_(tensor);
  });
}

std::string size_text(const FrameGeometry& geometry) {
  return std::to_string(geometry.height) + " x " + std::to_string(geometry.width);
}

}  // namespace

void expect_same_size(const data::InferenceVideo& video, const FrameGeometry& before,
                      const FrameGeometry& now) {
  if (before.height == now.height && before.width == now.width) return;
  throw DataError("video '" + video.name + "': expected frames of one size, got " +
                  size_text(before) + " and " + size_text(now) +
                  " pixels after resizing. Give frames of one size.");
}

WindowFeatures::WindowFeatures(VisModel& model, const VideoOptions& options, at::Device device)
    : model_(model),
      options_(options),
      device_(device),
      type_(model.parameters().front().scalar_type()) {}

int64_t WindowFeatures::model_frames(int64_t length) const {
  const int64_t fixed = model_.needs().fixed_frames;
  return fixed > 0 ? fixed : length;
}

WindowFeatures::Result WindowFeatures::read(const data::InferenceVideo& video,
                                            std::span<const Window> windows,
                                            const ForwardContext& context,
                                            const FrameProgress& progress) const {
  const int64_t length = windows.front().length;
  std::vector<WindowFrames> sources;
  for (const Window& each : windows)
    sources.emplace_back(
        video, WindowFrames::Span{each.start, each.length, model_frames(each.length)}, options_);
  Result result;
  for (int64_t first = 0; first < length; first += options_.inference.backbone_frames) {
    const int64_t count = std::min(options_.inference.backbone_frames, length - first);
    std::vector<at::Tensor> clips;
    for (const WindowFrames& source : sources) clips.push_back(source.read(first, count));
    ClipMeta meta;
    meta.video_id = video.id;
    meta.video_name = video.name;
    meta.height = clips.front().size(2);
    meta.width = clips.front().size(3);
    meta.original_height = video.height;
    meta.original_width = video.width;
    ClipBatch batch = data::batch_frames(clips, {clips.size(), meta}, model_.needs().size_divisor);
    batch.frames = batch.frames.to(device_, type_);
    batch.padding_mask = batch.padding_mask.to(device_);
    const FrameGeometry geometry{batch.frames.size(3), batch.frames.size(4), meta.height,
                                 meta.width,           video.height,         video.width};
    for (const at::Tensor& clip : clips)
      expect_same_size(video, first == 0 ? geometry : result.geometry,
                       {0, 0, clip.size(2), clip.size(3), 0, 0});
    result.geometry = geometry;
    FeaturePyramid part = model_.features(batch, context);
    if (progress) progress(windows.back().start + first + count);
    if (count == length)
      result.pyramid = std::move(part);
    else
      put_frames(result.pyramid, std::move(part), length, first);
  }
  if (model_frames(length) > length) {
    // A backbone sees each frame by itself, so features can be repeated in place of frames.
    const at::Tensor frames = at::remainder(at::arange(model_frames(length)), length).to(device_);
    result.pyramid =
        changed(std::move(result.pyramid), [&frames](const at::Tensor& tensor, Leading leading) {
          return leading == Leading::frames ? tensor.index_select(1, frames) : tensor;
        });
  }
  return result;
}

}  // namespace tessera
