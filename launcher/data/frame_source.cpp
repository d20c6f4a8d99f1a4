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
  ImageFiles(std::vector<fs::path> files, int64_t height, int64_t width)
      : files_(std::move(files)), height_(height), width_(width) {}

  at::Tensor read(int64_t index) override {
    if (index < 0 || index >= static_cast<int64_t>(files_.size()))
      throw DataError(files_.front().parent_path().string() + ": expected a frame below " +
                      std::to_string(files_.size()) + ", got " + std::to_string(index) + ".");
    const fs::path& file = files_[static_cast<size_t>(index)];
    at::Tensor image = read_image(file);
    if (image.size(0) != height_ || image.size(1) != width_)
      throw DataError(file.string() + ": frame " + std::to_string(index) + ": expected " +
                      std::to_string(width_) + "x" + std::to_string(height_) +
                      " pixels as the video, got " + std::to_string(image.size(1)) + "x" +
                      std::to_string(image.size(0)) + ". Frames of a video have one size.");
    return image;
  }

 private:
  std::vector<fs::path> files_;
  int64_t height_;
  int64_t width_;
};

InferenceVideo open_frames(int64_t id, const fs::path& folder, std::vector<fs::path> files) {
  const at::Tensor first = read_image(files.front());
  const auto length = static_cast<int64_t>(files.size());
  return {.id = id,
          .name = fs::absolute(folder / "").parent_path().filename().string(),
          .height = first.size(0),
          .width = first.size(1),
          .length = length,
          .source = std::make_shared<ImageFiles>(std::move(files), first.size(0), first.size(1))};
}

std::vector<InferenceVideo> open_folder(const fs::path& folder) {
  if (auto files = list_images(folder); !files.empty())
    return {open_frames(1, folder, std::move(files))};
  std::vector<InferenceVideo> videos;
  for (const auto& child : list_folders(folder))
    if (auto files = list_images(child); !files.empty())
      videos.push_back(
          open_frames(static_cast<int64_t>(videos.size()) + 1, child, std::move(files)));
  if (videos.empty())
    throw DataError(folder.string() + ": expected frames (" + join(image_endings()) +
                    ") or folders of frames, got none.");
  return videos;
}

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

std::vector<InferenceVideo> open_annotated(const fs::path& file, const fs::path& images) {
  const fs::path folder = images.empty() ? find_images(file) : images;
  std::vector<InferenceVideo> videos;
  for (const Video& video : read_annotations(file, {.require_annotations = false}).videos) {
    std::vector<fs::path> files;
    for (const std::string& name : video.file_names) {
      files.push_back(folder / name);
      if (!fs::is_regular_file(files.back()))
        throw DataError(files.back().string() + ": expected the image of video " +
                        std::to_string(video.id) + ", frame " + std::to_string(files.size() - 1) +
                        ", got no file. Check the image folder.");
    }
    videos.push_back(
        {.id = video.id,
         .name = video_name(video),
         .height = video.height,
         .width = video.width,
         .length = video.length,
         .source = std::make_shared<ImageFiles>(std::move(files), video.height, video.width)});
  }
  return videos;
}

}  // namespace

std::vector<InferenceVideo> open_videos(const fs::path& input, const fs::path& images) {
  if (!fs::exists(input))
    throw DataError(input.string() +
                    ": expected a video file, a folder of frames or a .json file, got nothing "
                    "there. Check the path.");
  if (fs::is_directory(input)) return open_folder(input);
  if (lower_ending(input) == ".json") return open_annotated(input, images);
  return {open_video_file(input)};
}

}  // namespace tessera::data
