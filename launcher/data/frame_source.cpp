#include "launcher/data/frame_source.h"

#include <utility>

#include "core/error.h"
#include "launcher/data/clip_dataset.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/image_io.h"
#include "launcher/data/video_file.h"
#include "launcher/data/ytvis.h"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;

class ImageFiles : public FrameSource {
 public:
  ImageFiles(std::vector<fs::path> files, int64_t height, int64_t width, ImageRules rules)
      : files_(std::move(files)), height_(height), width_(width), rules_(rules) {}

  at::Tensor read(int64_t index) override {
    if (index < 0 || index >= static_cast<int64_t>(files_.size()))
      throw DataError(files_.front().parent_path().string() + ": expected a frame below " +
                      std::to_string(files_.size()) + ", got " + std::to_string(index) + ".");
    const fs::path& file = files_[static_cast<size_t>(index)];
    at::Tensor image = read_image(file, rules_);
    if (image.size(0) != height_ || image.size(1) != width_)
      throw DataError(file.string() + ": frame " + std::to_string(index) + ": expected " +
                      std::to_string(width_) + "x" + std::to_string(height_) +
                      " pixels as the video, got " + std::to_string(image.size(1)) + "x" +
                      std::to_string(image.size(0)) + ". Frames of a video have one size." +
                      orientation_hint(file, rules_));
    return image;
  }

 private:
  std::vector<fs::path> files_;
  int64_t height_;
  int64_t width_;
  ImageRules rules_;
};

fs::path find_images(const fs::path& annotations) {
  const fs::path beside = fs::absolute(annotations).parent_path();
  std::vector<std::string> tried;
  for (const fs::path& folder :
       {beside / "frames", beside / "JPEGImages", beside.parent_path() / "frames",
        beside.parent_path() / "JPEGImages"}) {
    if (fs::is_directory(folder)) return folder;
    tried.push_back(folder.string());
  }
  throw DataError(annotations.string() + ": expected a folder of images, got none of " +
                  join(tried) + ". Say where the images are.");
}

/// Opens one input; see open_videos.
class Opener {
 public:
  Opener(const fs::path& input, const InputOptions& options, std::vector<std::string>* warnings)
      : input_(input), options_(options), warnings_(warnings) {}

  std::vector<InferenceVideo> run() {
    if (!fs::exists(input_))
      throw DataError(input_.string() +
                      ": expected a video file, a folder of frames or a .json file, got " +
                      (fs::is_symlink(input_) ? describe_missing(input_) : "nothing there") +
                      ". Check the path.");
    if (fs::is_directory(input_)) return open_folder();
    if (lower_ending(input_) == ".json") return open_annotated();
    return {open_video_file(input_, options_.allow_broken_video)};
  }

 private:
  InferenceVideo open_frames(int64_t id, const fs::path& folder, std::vector<fs::path> files) {
    const at::Tensor first = read_image(files.front(), options_.rules);
    warn_of(files.front());
    const auto length = static_cast<int64_t>(files.size());
    const int64_t height = first.size(0), width = first.size(1);
    return {
        .id = id,
        .name = fs::absolute(folder / "").parent_path().filename().string(),
        .height = height,
        .width = width,
        .length = length,
        .source = std::make_shared<ImageFiles>(std::move(files), height, width, options_.rules)};
  }

  /// Images beside folders of images: which of them the user means is not clear.
  static void check_level(const fs::path& folder, const std::vector<fs::path>& images) {
    std::vector<std::string> others;
    for (const auto& child : list_folders(folder))
      if (!list_images(frame_folder_of(child)).empty()) others.push_back(child.filename().string());
    if (others.empty()) return;
    throw DataError(folder.string() + ": expected frames or folders of frames, got both: " +
                    std::to_string(images.size()) + " image(s) such as " +
                    images.front().filename().string() + ", and in folders: " + join(others) +
                    ". Give one of the folders, or move the images or the folders elsewhere.");
  }

  std::vector<InferenceVideo> open_folder() {
    if (auto own = list_images(input_); !own.empty()) {
      check_level(input_, own);
      return {open_frames(1, input_, std::move(own))};
    }
    std::vector<InferenceVideo> videos;
    std::vector<std::string> without;
    for (const auto& child : list_folders(input_)) {
      const fs::path folder = frame_folder_of(child);
      auto files = list_images(folder);
      if (files.empty()) {
        without.push_back(child.filename().string());
        continue;
      }
      check_level(folder, files);
      videos.push_back(
          open_frames(static_cast<int64_t>(videos.size()) + 1, child, std::move(files)));
    }
    if (videos.empty())
      throw DataError(input_.string() + ": expected frames (" + join(image_endings()) +
                      ") or folders of frames, got none." + describe_contents(input_));
    if (!without.empty() && warnings_ != nullptr)
      warnings_->push_back(input_.string() +
                           ": left out, as they hold no frames: " + join(without) + ".");
    return videos;
  }

  std::vector<InferenceVideo> open_annotated() {
    const fs::path folder = options_.images.empty() ? find_images(input_) : options_.images;
    std::vector<InferenceVideo> videos;
    for (const Video& video : read_annotations(input_, {.require_annotations = false}).videos) {
      std::vector<fs::path> files;
      for (const std::string& name : video.file_names) {
        files.push_back(find_image(folder, name));
        if (!fs::is_regular_file(files.back()))
          throw DataError(files.back().string() + ": expected the image of video " +
                          std::to_string(video.id) + ", frame " + std::to_string(files.size() - 1) +
                          ", got " + describe_missing(files.back()) + ". Check the image folder.");
      }
      warn_of(files.front());
      videos.push_back({.id = video.id,
                        .name = video_name(video),
                        .height = video.height,
                        .width = video.width,
                        .length = video.length,
                        .source = std::make_shared<ImageFiles>(std::move(files), video.height,
                                                               video.width, options_.rules)});
    }
    return videos;
  }

  /// The same fault of many videos is one line.
  void warn_of(const fs::path& file) {
    if (warnings_ == nullptr || has_warned_) return;
    const std::string warning = warn_of_image(file, options_.rules);
    if (warning.empty()) return;
    has_warned_ = true;
    warnings_->push_back(warning);
  }

  const fs::path& input_;
  const InputOptions& options_;
  std::vector<std::string>* warnings_;
  bool has_warned_ = false;
};

}  // namespace

std::vector<InferenceVideo> open_videos(const fs::path& input, const InputOptions& options,
                                        std::vector<std::string>* warnings) {
  return Opener(input, options, warnings).run();
}

}  // namespace tessera::data
