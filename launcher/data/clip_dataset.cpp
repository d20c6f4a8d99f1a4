#include "launcher/data/clip_dataset.h"

#include <algorithm>
#include <numeric>
#include <opencv2/core.hpp>
#include <utility>

#include "core/error.h"
#include "launcher/data/augmentation.h"
#include "launcher/data/clip_targets.h"
#include "launcher/data/frame_tensor.h"
#include "launcher/data/geometry.h"
#include "launcher/data/image_mat.h"

namespace tessera::data {
namespace {

// Streams of random numbers, apart from the order's (sample_order.cpp).
constexpr uint64_t kSamplingStream = 2;
constexpr uint64_t kAugmentStream = 3;

AnnotationFile read_split(const DataOptions& options, const SplitOptions& split,
                          const std::string& name) {
  const std::string key = "data." + name;
  if (split.annotations.empty())
    throw ConfigError(key + ".annotations: expected an annotation file, got none. Set " + key +
                      ".annotations and " + key + ".images.");
  if (split.images.empty())
    throw ConfigError(key + ".images: expected a folder of images, got none. Set " + key +
                      ".images.");
  AnnotationFile file = read_annotations(split.annotations);
  const auto count = static_cast<int64_t>(file.categories.size());
  if (count != options.num_categories)
    throw ConfigError("data.num_categories: expected " + std::to_string(count) +
                      ", the number of categories in " + split.annotations + ", got " +
                      std::to_string(options.num_categories) +
                      ". Set data.num_categories = " + std::to_string(count) + ".");
  return file;
}

std::vector<int64_t> lengths(const AnnotationFile& annotations) {
  std::vector<int64_t> result;
  for (const Video& video : annotations.videos) result.push_back(video.length);
  return result;
}

std::string place(const Video& video, int64_t frame) {
  return "video " + std::to_string(video.id) + " ('" + video_name(video) + "'), frame " +
         std::to_string(frame);
}

cv::Mat read_frame(const std::filesystem::path& file, const Video& video, int64_t frame,
                   int reduction) {
  ReducedImage image;
  try {
    image = read_reduced(file, reduction);
  } catch (const DataError& error) {
    throw DataError(place(video, frame) + ": " + error.what());
  }
  const cv::Size size = image.stored_size;
  if (size.height != video.height || size.width != video.width)
    throw DataError(file.string() + ": " + place(video, frame) + ": expected " +
                    std::to_string(video.width) + "x" + std::to_string(video.height) +
                    " pixels as the annotations say, got " + std::to_string(size.width) + "x" +
                    std::to_string(size.height) + ". Use the images that the masks were drawn on.");
  return image.rgb;
}

}  // namespace

std::string video_name(const Video& video) {
  if (!video.file_names.empty()) {
    const auto folder = std::filesystem::path(video.file_names[0]).parent_path().filename();
    if (!folder.empty()) return folder.string();
  }
  return "video " + std::to_string(video.id);
}

std::vector<int64_t> category_labels(const AnnotationFile& annotations) {
  std::vector<size_t> order(annotations.categories.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return annotations.categories[a].id < annotations.categories[b].id;
  });
  std::vector<int64_t> labels(order.size());
  for (size_t label = 0; label < order.size(); ++label)
    labels[order[label]] = static_cast<int64_t>(label);
  return labels;
}

ClipDataset::ClipDataset(const DataOptions& options, const SplitOptions& split,
                         const std::string& name)
    : options_(options),
      images_(split.images),
      annotations_(read_split(options, split, name)),
      sampler_(options.sampling, options.num_frames, lengths(annotations_)),
      labels_(category_labels(annotations_)),
      annotations_of_(annotations_.videos.size()) {
  use_single_opencv_thread();
  for (size_t i = 0; i < annotations_.annotations.size(); ++i)
    if (!annotations_.annotations[i].is_crowd)
      annotations_of_[annotations_.annotations[i].video_index].push_back(i);
  check_images();
}

std::filesystem::path ClipDataset::image_file(size_t video, int64_t frame) const {
  return images_ / annotations_.videos[video].file_names[static_cast<size_t>(frame)];
}

/// A missing image must stop a run before it starts, not hours later. Sizes are checked when the
/// images are read: opening every file of a large set would take minutes.
void ClipDataset::check_images() const {
  if (!std::filesystem::is_directory(images_))
    throw DataError(images_.string() + ": expected a folder of images, got none. Check the path.");
  for (size_t v = 0; v < annotations_.videos.size(); ++v) {
    const Video& video = annotations_.videos[v];
    for (int64_t frame = 0; frame < video.length; ++frame) {
      const std::filesystem::path file = image_file(v, frame);
      if (!std::filesystem::is_regular_file(file))
        throw DataError(file.string() + ": expected the image of " + place(video, frame) +
                        ", got no file. Check that the image folder is the one that the "
                        "annotations belong to.");
    }
  }
}

ClipSample ClipDataset::load(int64_t sample, uint64_t seed, int64_t epoch) const {
  const auto key = [&](uint64_t stream) {
    return Random({seed, stream, static_cast<uint64_t>(epoch), static_cast<uint64_t>(sample)});
  };
  Random sampling = key(kSamplingStream);
  const ClipSampler::Clip clip = sampler_.draw(sample, sampling);
  const Video& video = annotations_.videos[clip.video];

  Random augmenting = key(kAugmentStream);
  const ClipTransform transform(options_.augment,
                                {static_cast<int>(video.width), static_cast<int>(video.height)},
                                clip.frames.size(), augmenting);

  std::vector<cv::Mat> frames(clip.frames.size());
  std::vector<int64_t> labels;
  std::vector<std::vector<cv::Mat>> masks;
  for (size_t t = 0; t < frames.size(); ++t) {
    const cv::Mat frame = read_frame(image_file(clip.video, clip.frames[t]), video, clip.frames[t],
                                     transform.reduction());
    frames[transform.place(t)] = transform.frame(frame, t);
  }
  for (const size_t i : annotations_of_[clip.video]) {
    const Annotation& annotation = annotations_.annotations[i];
    labels.push_back(labels_[annotation.category_index]);
    std::vector<cv::Mat>& track = masks.emplace_back(frames.size());
    for (size_t t = 0; t < frames.size(); ++t) {
      const auto& rle = annotation.segmentations[static_cast<size_t>(clip.frames[t])];
      if (rle) track[transform.place(t)] = take_pixels(*rle, transform.rows(), transform.columns());
    }
  }

  ClipSample result;
  const cv::Size size = transform.size();
  result.frames = normalised_frames(frames, options_.normalise);
  result.targets = make_targets(masks, labels, static_cast<int64_t>(frames.size()), size,
                                options_.min_visible_pixels);
  result.meta = {.video_id = video.id,
                 .video_name = video_name(video),
                 .frame_indices = clip.frames,
                 .height = size.height,
                 .width = size.width,
                 .original_height = video.height,
                 .original_width = video.width};
  return result;
}

}  // namespace tessera::data
