#include "launcher/data/clip_set.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <opencv2/core.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "launcher/data/coco.h"
#include "launcher/data/geometry.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/image_mat.h"
#include "launcher/data/pseudo_clip.h"

namespace tessera::data {
namespace {

// A stream of random numbers, apart from those of clip_dataset.cpp.
constexpr uint64_t kRoundStream = 6;
constexpr uint64_t kExtentStream = 7;

AnnotationFile read_set(const SetOptions& set, const std::string& key) {
  if (set.annotations.empty())
    throw ConfigError(key + ".annotations: expected an annotation file, got none. Set " + key +
                      ".annotations and " + key + ".images.");
  if (set.images.empty())
    throw ConfigError(key + ".images: expected a folder of images, got none. Set " + key +
                      ".images.");
  if (set.kind != "coco") return read_annotations(set.annotations);
  std::set<int64_t> wanted;
  for (const auto& pair : set.class_map) wanted.insert(pair.at(0));
  return read_coco(set.annotations, wanted);
}

std::string place(const Video& video, int64_t frame) {
  return "video " + std::to_string(video.id) + " ('" + video_name(video) + "'), frame " +
         std::to_string(frame);
}

cv::Mat read_frame(const std::filesystem::path& file, const Video& video, int64_t frame,
                   int reduction, const ImageRules& rules) {
  ReducedImage image;
  try {
    image = read_reduced(file, reduction, rules);
  } catch (const DataError& error) {
    throw DataError(place(video, frame) + ": " + error.what());
  }
  const cv::Size size = image.whole_size;
  if (size.height != video.height || size.width != video.width)
    throw DataError(file.string() + ": " + place(video, frame) + ": expected " +
                    std::to_string(video.width) + "x" + std::to_string(video.height) +
                    " pixels as the annotations say, got " + std::to_string(size.width) + "x" +
                    std::to_string(size.height) + ". Use the images that the masks were drawn on." +
                    orientation_hint(file, rules));
  return image.rgb;
}

cv::Mat mask_mat(const Rle& rle) {
  std::vector<uint8_t> pixels = to_mask(rle);
  return cv::Mat(static_cast<int>(rle.height), static_cast<int>(rle.width), CV_8UC1, pixels.data())
      .clone();
}

ClipFacts facts_of(const DataOptions& options) {
  return {options.num_frames, options.num_categories};
}

std::string list_ids(const std::vector<int64_t>& ids) {
  std::vector<std::string> texts;
  for (const int64_t id : ids) texts.push_back(std::to_string(id));
  return join(texts);
}

}  // namespace

void ClipExtent::join(const ClipExtent& other, bool by_area) {
  frames = std::max(frames, other.frames);
  instances = std::max(instances, other.instances);
  if (!by_area) {
    height = std::max(height, other.height);
    width = std::max(width, other.width);
  } else if (other.height * other.width > height * width) {
    height = other.height;
    width = other.width;
  }
}

std::string ClipExtent::text() const {
  return std::to_string(frames) + " frames of " + std::to_string(height) + "x" +
         std::to_string(width) + ", " + std::to_string(instances) + " instances";
}

std::string video_name(const Video& video) {
  if (!video.file_names.empty()) {
    std::string name = video.file_names[0];
    // Names that Windows wrote; see find_image.
    if (name.find('/') == name.npos) std::replace(name.begin(), name.end(), '\\', '/');
    const auto folder = std::filesystem::path(name).parent_path().filename();
    if (!folder.empty()) return folder.string();
  }
  return "video " + std::to_string(video.id);
}

ClipSet::ClipSet(const DataOptions& options, const SetOptions& set, std::string key)
    : options_(options),
      augmenter_(options.augment, facts_of(options), resizing_of(options)),
      pseudo_clip_augmenter_(set.pseudo_clip.photometric ? augmenter_
                                                         : augmenter_.without_photometric()),
      set_(set),
      key_(std::move(key)),
      annotations_(read_set(set, key_)) {}

void ClipSet::prepare(const std::vector<int64_t>& model_ids) {
  labels_.resize(annotations_.categories.size());
  std::map<int64_t, size_t> index_of;
  for (size_t c = 0; c < labels_.size(); ++c) index_of[annotations_.categories[c].id] = c;
  if (!is_mapped())
    for (const auto& [id, index] : index_of) labels_[index] = label_of(id, model_ids);
  for (const auto& pair : set_.class_map) {
    const auto found = index_of.find(pair.at(0));
    if (found == index_of.end())
      throw ConfigError(key_ + ".class_map: expected category ids of " + set_.annotations +
                        ", got " + std::to_string(pair.at(0)) + ".");
    if (labels_[found->second])
      throw ConfigError(key_ + ".class_map: expected each category of the file once, got " +
                        std::to_string(pair.at(0)) + " a second time.");
    labels_[found->second] = label_of(pair.at(1), model_ids);
  }
  annotations_of_.resize(annotations_.videos.size());
  for (size_t i = 0; i < annotations_.annotations.size(); ++i) {
    const Annotation& annotation = annotations_.annotations[i];
    if (!annotation.is_crowd && labels_[annotation.category_index])
      annotations_of_[annotation.video_index].push_back(i);
  }
  choose_samples();
  check_images();
}

int64_t ClipSet::label_of(int64_t category_id, const std::vector<int64_t>& model_ids) const {
  const auto found = std::lower_bound(model_ids.begin(), model_ids.end(), category_id);
  if (found != model_ids.end() && *found == category_id) return found - model_ids.begin();
  throw ConfigError(key_ + ".class_map: expected the model's categories, got " +
                    std::to_string(category_id) + ". The model's ids: " + list_ids(model_ids) +
                    ". Sets with other categories need a class_map.");
}

void ClipSet::choose_samples() {
  if (is_images()) {
    for (size_t image = 0; image < annotations_.videos.size(); ++image) {
      // More than max_instances may become fewer in a crop.
      const auto count = static_cast<int64_t>(annotations_of_[image].size());
      if (count >= set_.pseudo_clip.min_instances) images_.push_back(image);
    }
    if (images_.empty())
      throw DataError(set_.annotations + ": expected an image with " + wanted_instances() +
                      " of the model's categories, got none of " +
                      std::to_string(annotations_.videos.size()) + " images.");
  } else {
    sampler_.emplace(options_.sampling, facts_of(options_), sampled_videos());
    if (sampler_->size() == 0)
      throw DataError(set_.annotations + ": expected a sample for the sampler '" +
                      options_.sampling.name + "', got none of " +
                      std::to_string(annotations_.videos.size()) + " videos.");
  }
  if (set_.ratio == std::floor(set_.ratio)) return;
  order_.resize(static_cast<size_t>(size()));
  std::iota(order_.begin(), order_.end(), int64_t{0});
  Random random({kRoundStream});
  for (size_t i = order_.size(); i > 1; --i)
    std::swap(order_[i - 1],
              order_[static_cast<size_t>(random.integer(0, static_cast<int64_t>(i) - 1))]);
}

std::vector<SampledVideo> ClipSet::sampled_videos() const {
  std::vector<SampledVideo> videos;
  for (size_t v = 0; v < annotations_.videos.size(); ++v) {
    const int64_t length = annotations_.videos[v].length;
    const std::vector<size_t>& instances = annotations_of_[v];
    SampledVideo video{length,
                       at::zeros({static_cast<int64_t>(instances.size()), length}, at::kBool)};
    bool* present = video.present.data_ptr<bool>();
    for (const size_t i : instances) {
      const auto& masks = annotations_.annotations[i].segmentations;
      for (size_t t = 0; t < static_cast<size_t>(length); ++t, ++present)
        *present = t < masks.size() && masks[t].has_value();
    }
    videos.push_back(std::move(video));
  }
  return videos;
}

int64_t ClipSet::size() const {
  return is_images() ? static_cast<int64_t>(images_.size()) : sampler_->size();
}

int64_t ClipSet::epoch_size() const {
  return std::max<int64_t>(1, std::llround(set_.ratio * static_cast<double>(size())));
}

int64_t ClipSet::sample_of(int64_t k, int64_t epoch) const {
  if (order_.empty()) return k % size();
  return order_[static_cast<size_t>((epoch % size() * (epoch_size() % size()) + k) % size())];
}

bool ClipSet::takes_clip_with(int64_t instances) const {
  if (!is_images()) return instances > 0 || !options_.sampling.redraw_empty;
  return instances >= set_.pseudo_clip.min_instances && instances <= set_.pseudo_clip.max_instances;
}

std::string ClipSet::wanted_instances() const {
  if (!is_images()) return "an instance";
  return std::to_string(set_.pseudo_clip.min_instances) + " to " +
         std::to_string(set_.pseudo_clip.max_instances) + " instances";
}

int64_t ClipSet::draw_sample(Random& random) const {
  return random.integer(0, size() - 1);
}

std::filesystem::path ClipSet::image_file(size_t video, int64_t frame) const {
  return find_image(set_.images, annotations_.videos[video].file_names[static_cast<size_t>(frame)]);
}

/// A missing image must stop a run before it starts, not hours later. Sizes are checked when the
/// images are read: opening every file of a large set would take minutes.
void ClipSet::check_images() const {
  if (!std::filesystem::is_directory(set_.images))
    throw DataError(set_.images + ": expected a folder of images, got none. Check the path.");
  std::vector<size_t> wanted = images_;
  if (!is_images()) {
    wanted.resize(annotations_.videos.size());
    std::iota(wanted.begin(), wanted.end(), size_t{0});
  }
  std::string first;
  int64_t missing = 0;
  for (const size_t v : wanted) {
    const Video& video = annotations_.videos[v];
    for (int64_t frame = 0; frame < video.length; ++frame) {
      const std::filesystem::path file = image_file(v, frame);
      if (std::filesystem::is_regular_file(file)) continue;
      if (missing++ == 0)
        first = file.string() + ": expected the image of " + place(video, frame) + ", got " +
                describe_missing(file);
    }
  }
  if (missing > 0)
    throw DataError(first +
                    (missing > 1 ? ", and none for " + std::to_string(missing - 1) + " more" : "") +
                    ". Check that the image folder is the one that the annotations belong to.");
}

ClipSet::Clip ClipSet::load(int64_t sample, Random& sampling, Random& augmenting) const {
  return is_images() && options_.num_frames > 1 ? load_pseudo_clip(sample, sampling, augmenting)
                                                : load_frames(sample, sampling, augmenting);
}

ClipSet::Clip ClipSet::load_frames(int64_t sample, Random& sampling, Random& augmenting) const {
  const ClipSampler::Clip drawn =
      is_images() ? ClipSampler::Clip{images_.at(static_cast<size_t>(sample)), {0}}
                  : sampler_->draw(sample, sampling);
  const Video& video = annotations_.videos[drawn.video];
  const AugmentationPlan plan =
      augmenter_.draw({static_cast<int>(video.width), static_cast<int>(video.height)},
                      drawn.frames.size(), augmenting);
  const ClipTransform& transform = plan.first();
  Clip clip{
      .frames = {}, .masks = {}, .labels = {}, .frame_indices = drawn.frames, .video = &video};
  ClipImages images;
  images.frames.resize(drawn.frames.size());
  for (size_t t = 0; t < images.frames.size(); ++t) {
    const cv::Mat frame =
        read_frame(image_file(drawn.video, drawn.frames[t]), video, drawn.frames[t],
                   transform.reduction(), options_.image_rules());
    images.frames[transform.place(t)] = transform.frame(frame, t);
  }
  for (const size_t i : annotations_of_[drawn.video]) {
    const Annotation& annotation = annotations_.annotations[i];
    clip.labels.push_back(labels_[annotation.category_index].value());
    std::vector<cv::Mat>& track = images.masks.emplace_back(images.frames.size());
    for (size_t t = 0; t < images.frames.size(); ++t) {
      const auto& rle = annotation.segmentations[static_cast<size_t>(drawn.frames[t])];
      if (rle) track[transform.place(t)] = take_pixels(*rle, transform.rows(), transform.columns());
    }
  }
  plan.finish(images);
  clip.frames = std::move(images.frames);
  clip.masks = std::move(images.masks);
  return clip;
}

ClipExtent ClipSet::largest_clip(bool by_area) const {
  constexpr uint64_t kDraws = 200;
  struct Most {
    int64_t frames = 0, instances = 0;
  };
  std::map<std::pair<int64_t, int64_t>, Most> most_of;  // each size of video
  for (size_t v = 0; v < annotations_.videos.size(); ++v) {
    const Video& video = annotations_.videos[v];
    Most& most = most_of[{video.height, video.width}];
    auto instances = static_cast<int64_t>(annotations_of_[v].size());
    if (is_images()) instances = std::min(instances, set_.pseudo_clip.max_instances);
    most.instances = std::max(most.instances, instances);
    most.frames = std::max(most.frames, sampler_ ? sampler_->clip_length(v) : options_.num_frames);
  }
  ClipExtent largest;
  for (const auto& [size, most] : most_of) {
    const cv::Size stated(static_cast<int>(size.second), static_cast<int>(size.first));
    for (uint64_t draw = 0; draw < kDraws; ++draw) {
      Random random({kExtentStream, draw});
      const cv::Size drawn =
          augmenter_.draw(stated, static_cast<size_t>(most.frames), random).size();
      largest.join({most.frames, drawn.height, drawn.width, most.instances}, by_area);
    }
  }
  return largest;
}

ClipSet::Clip ClipSet::load_pseudo_clip(int64_t sample, Random& sampling,
                                        Random& augmenting) const {
  const size_t image = images_.at(static_cast<size_t>(sample));
  const Video& video = annotations_.videos[image];
  Clip clip{.frames = {},
            .masks = {},
            .labels = {},
            .frame_indices = std::vector<int64_t>(static_cast<size_t>(options_.num_frames)),
            .video = &video};
  ClipImages images;
  images.frames.push_back(read_frame(image_file(image, 0), video, 0, 1, options_.image_rules()));
  for (const size_t i : annotations_of_[image]) {
    const Annotation& annotation = annotations_.annotations[i];
    clip.labels.push_back(labels_[annotation.category_index].value());
    images.masks.push_back({mask_mat(annotation.segmentations.at(0).value())});
  }
  make_pseudo_clip(images, options_.num_frames, set_.pseudo_clip, sampling);
  pseudo_clip_augmenter_.draw(images.size(), images.frames.size(), augmenting).apply(images);
  clip.frames = std::move(images.frames);
  clip.masks = std::move(images.masks);
  return clip;
}

}  // namespace tessera::data
