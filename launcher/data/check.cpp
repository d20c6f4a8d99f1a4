#include "launcher/data/check.h"

#include <cmath>
#include <set>

#include "core/error.h"
#include "launcher/data/clip_dataset.h"
#include "launcher/data/convert/frames.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/image_mat.h"
#include "launcher/data/ytvis.h"

namespace tessera::data {
namespace {

std::string place(const Video& video) {
  return "video " + std::to_string(video.id) + " ('" + video_name(video) + "')";
}

class Checker {
 public:
  explicit Checker(const CheckOptions& options) : options_(options) {}

  CheckReport run() {
    AnnotationFile file;
    try {
      file = read_annotations(options_.annotations,
                              {.require_annotations = false, .faults = &report_.faults});
    } catch (const DataError& error) {
      report_.faults.emplace_back(error.what());
      return std::move(report_);
    }
    report_.videos = static_cast<int64_t>(file.videos.size());
    report_.annotations = static_cast<int64_t>(file.annotations.size());
    for (const Video& video : file.videos) {
      report_.frames += video.length;
      look_at_names(video);
    }
    if (!options_.images.empty()) look_at_images(file);
    if (file.has_annotations) {
      look_at_annotations(file);
    } else {
      warn("no public annotations ('annotations' is null or absent): inference only.");
    }
    return std::move(report_);
  }

 private:
  void warn(const std::string& text) {
    report_.warnings.push_back(options_.annotations.string() + ": " + text);
  }

  void look_at_names(const Video& video) {
    std::set<std::string> seen;
    for (const std::string& name : video.file_names)
      if (!seen.insert(name).second)
        return warn(place(video) + ": frame '" + name + "' is listed more than once.");
  }

  void look_at_images(const AnnotationFile& file) {
    if (!std::filesystem::is_directory(options_.images)) {
      report_.faults.push_back(options_.images.string() +
                               ": expected a folder of images, got none. Check the path.");
      return;
    }
    for (const Video& video : file.videos)
      for (size_t t = 0; t < video.file_names.size(); ++t) {
        try {
          check_file_name(video.file_names[t]);
        } catch (const DataError&) {
          continue;  // a fault of the file already; such a name is not opened
        }
        look_at_image(video, t);
        if (t == 0) look_at_first_image(video);
      }
  }

  /// What is true of all frames of a video, most likely.
  void look_at_first_image(const Video& video) {
    try {
      const auto file = find_image(options_.images, video.file_names[0]);
      if (file != options_.images / video.file_names[0])
        warn(place(video) + ": '" + video.file_names[0] + "' is stored as '" +
             name_within(options_.images, file) + "'.");
      const std::string warning = warn_of_image(file, options_.rules);
      if (!warning.empty()) warn(place(video) + ": " + warning);
    } catch (const DataError&) {
      return;  // a fault that is listed already
    }
  }

  void look_at_image(const Video& video, size_t t) {
    const auto file = find_image(options_.images, video.file_names[t]);
    const std::string where = place(video) + ", frame " + std::to_string(t) + ": ";
    try {
      FrameSize size;
      if (options_.decode) {
        const cv::Mat image = read_mat(file, options_.rules);
        size = {image.cols, image.rows};
      } else {
        size = size_of_image(file, options_.rules);
      }
      if (size.width == video.width && size.height == video.height) return;
      report_.faults.push_back(where + file.string() + ": expected " + std::to_string(video.width) +
                               "x" + std::to_string(video.height) +
                               " pixels as the annotations say, got " + std::to_string(size.width) +
                               "x" + std::to_string(size.height) + "." +
                               orientation_hint(file, options_.rules));
    } catch (const DataError& error) {
      report_.faults.push_back(where + error.what());
    }
  }

  void look_at_annotations(const AnnotationFile& file) {
    std::vector<int64_t> of_video(file.videos.size());
    std::vector<int64_t> of_category(file.categories.size());
    for (const Annotation& annotation : file.annotations) {
      ++of_video[annotation.video_index];
      ++of_category[annotation.category_index];
      look_at_frames(annotation);
    }
    for (size_t i = 0; i < file.videos.size(); ++i)
      if (of_video[i] == 0) warn(place(file.videos[i]) + " has no annotation.");
    for (size_t i = 0; i < file.categories.size(); ++i)
      if (of_category[i] == 0)
        warn("category " + std::to_string(file.categories[i].id) + " ('" + file.categories[i].name +
             "') has no annotation.");
  }

  void look_at_frames(const Annotation& annotation) {
    const std::string where = "annotation " + std::to_string(annotation.id) + " (video " +
                              std::to_string(annotation.video_id) + ")";
    int64_t visible = 0;
    for (size_t t = 0; t < annotation.segmentations.size(); ++t) {
      const auto& mask = annotation.segmentations[t];
      const std::string frame = where + ", frame " + std::to_string(t) + ": ";
      const auto pixels = mask ? static_cast<double>(area(*mask)) : 0.;
      visible += pixels > 0;
      if (mask && pixels == 0)
        warn(frame + "the mask has no pixel; null says that the object is absent.");
      const auto stated = t < annotation.areas.size() ? annotation.areas[t] : std::nullopt;
      if (mask && !stated) warn(frame + "a mask, but no area.");
      // Scorers sort by the stated area. Those that polygons give differ by their rim.
      if (stated && std::abs(*stated - pixels) > 0.1 * pixels + 16)
        warn(frame + "the stated area is " + std::to_string(std::llround(*stated)) +
             ", the mask has " + std::to_string(std::llround(pixels)) + " pixels.");
    }
    if (visible == 0) warn(where + " is in no frame.");
  }

  const CheckOptions& options_;
  CheckReport report_;
};

}  // namespace

CheckReport check_data_set(const CheckOptions& options) {
  return Checker(options).run();
}

}  // namespace tessera::data
