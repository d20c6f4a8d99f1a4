#include "launcher/visualisation/contact_sheet.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "core/error.h"
#include "launcher/data/clip_set.h"
#include "launcher/data/codecs.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/image_mat.h"
#include "launcher/visualisation/overlay.h"
#include "launcher/visualisation/text.h"

namespace tessera::visualisation {
namespace {

constexpr int kGap = 4;     // pixels between cells
constexpr int kTitle = 18;  // height of the line above a row, pixels
constexpr double kTitleScale = 0.42;
const cv::Scalar kPaper(255, 255, 255);
const cv::Scalar kInk(30, 30, 30);

int64_t row_height(const data::Video& video, int64_t cell_width) {
  const double scale = static_cast<double>(cell_width) / static_cast<double>(video.width);
  return std::max<int64_t>(1, std::llround(scale * static_cast<double>(video.height)));
}

/// Which frames to show: the first, the last and some between them at equal distances.
std::vector<int64_t> spread_frames(int64_t length, int64_t columns) {
  std::vector<int64_t> frames;
  const int64_t count = std::min(length, columns);
  for (int64_t i = 0; i < count; ++i)
    frames.push_back(count == 1 ? 0 : (i * (length - 1) + (count - 1) / 2) / (count - 1));
  return frames;
}

/// Black bars where the shapes differ.
cv::Mat fitted(const cv::Mat& frame, cv::Size size) {
  const double scale = std::min(static_cast<double>(size.width) / frame.cols,
                                static_cast<double>(size.height) / frame.rows);
  const cv::Size inner(
      std::clamp(static_cast<int>(std::lround(frame.cols * scale)), 1, size.width),
      std::clamp(static_cast<int>(std::lround(frame.rows * scale)), 1, size.height));
  cv::Mat result = cv::Mat::zeros(size, CV_8UC3);
  cv::Mat place = result(cv::Rect((size.width - inner.width) / 2, (size.height - inner.height) / 2,
                                  inner.width, inner.height));
  cv::resize(frame, place, inner, 0, 0, cv::INTER_AREA);
  return result;
}

}  // namespace

at::Tensor draw_annotated_frame(const data::AnnotationFile& annotations, size_t video,
                                int64_t frame, const data::ImageSource& images) {
  const data::Video& owner = annotations.videos.at(video);
  const auto t = static_cast<size_t>(frame);
  const auto file = data::find_image(images.folder, owner.file_names.at(t));
  const cv::Mat image = data::read_mat(file, images.rules);
  if (image.cols != owner.width || image.rows != owner.height)
    throw DataError(file.string() + ": video " + std::to_string(owner.id) + ", frame " +
                    std::to_string(frame) + ": expected " + std::to_string(owner.width) + "x" +
                    std::to_string(owner.height) + " pixels as the annotations say, got " +
                    std::to_string(image.cols) + "x" + std::to_string(image.rows) + "." +
                    data::orientation_hint(file, images.rules));
  std::vector<OverlayInstance> instances;
  for (const data::Annotation& annotation : annotations.annotations) {
    if (annotation.video_index != video || !annotation.segmentations[t]) continue;
    const data::Rle& rle = *annotation.segmentations[t];
    std::vector<uint8_t> bytes = data::to_mask(rle);
    const at::Tensor mask =
        at::from_blob(bytes.data(), {rle.height, rle.width}, at::kByte).to(at::kBool);
    const std::string& name = annotations.categories[annotation.category_index].name;
    instances.push_back(
        {mask, annotation.id, annotation.is_crowd ? name + " crowd" : name, std::nullopt});
  }
  return draw_overlay(data::to_tensor(image), instances);
}

at::Tensor draw_contact_sheet(const data::AnnotationFile& annotations,
                              const std::vector<size_t>& videos, const data::ImageSource& images,
                              const SheetOptions& options) {
  int64_t height = kGap;
  for (const size_t video : videos)
    height += kTitle + row_height(annotations.videos.at(video), options.cell_width) + kGap;
  const int64_t width = kGap + options.columns * (options.cell_width + kGap);
  if (std::max(width, height) > options.largest_side)
    throw ConfigError("contact sheet: expected at most " + std::to_string(options.largest_side) +
                      " pixels a side, got " + std::to_string(width) + "x" +
                      std::to_string(height) + ". Choose fewer videos or smaller cells.");
  cv::Mat sheet(static_cast<int>(height), static_cast<int>(width), CV_8UC3, kPaper);
  int top = kGap;
  for (const size_t index : videos) {
    const data::Video& video = annotations.videos[index];
    const cv::Size cell(static_cast<int>(options.cell_width),
                        static_cast<int>(row_height(video, options.cell_width)));
    const std::string title = data::video_name(video) + "  (video " + std::to_string(video.id) +
                              ", " + std::to_string(video.length) + " frames)";
    Text(title, kTitleScale).draw(sheet, {kGap, top + kTitle - 5}, kInk);
    top += kTitle;
    int left = kGap;
    for (const int64_t frame : spread_frames(video.length, options.columns)) {
      const at::Tensor drawn = draw_annotated_frame(annotations, index, frame, images);
      cv::Mat place = sheet(cv::Rect(cv::Point(left, top), cell));
      const bool shrinks = cell.width < video.width;
      cv::resize(data::to_mat(drawn), place, cell, 0, 0,
                 shrinks ? cv::INTER_AREA : cv::INTER_LINEAR);
      left += cell.width + kGap;
    }
    top += cell.height + kGap;
  }
  return data::to_tensor(sheet);
}

void write_annotated_video(const data::AnnotationFile& annotations,
                           const std::vector<size_t>& videos, const data::ImageSource& images,
                           const std::filesystem::path& output, double frames_per_second) {
  data::use_single_opencv_thread();
  const data::Video& first = annotations.videos.at(videos.at(0));
  // Encoders want even sides.
  const cv::Size size(static_cast<int>(first.width + first.width % 2),
                      static_cast<int>(first.height + first.height % 2));
  const bool is_avi = data::lower_ending(output) == ".avi";
  const auto writer = data::codecs().video_writer(output.string(), is_avi ? "MJPG" : "mp4v",
                                                  frames_per_second, size);
  if (!writer->isOpened())
    throw RuntimeError(output.string() +
                       ": expected to write a video, got a failure. Check the folder, or use a "
                       "name that ends in .avi.");
  for (const size_t video : videos)
    for (int64_t frame = 0; frame < annotations.videos[video].length; ++frame) {
      const at::Tensor drawn = draw_annotated_frame(annotations, video, frame, images);
      cv::Mat bgr;
      cv::cvtColor(fitted(data::to_mat(drawn), size), bgr, cv::COLOR_RGB2BGR);
      writer->write(bgr);
    }
  writer->release();
  if (!std::filesystem::is_regular_file(output) || std::filesystem::file_size(output) == 0)
    throw RuntimeError(output.string() +
                       ": expected a video, got an empty file. Is the disk full?");
}

}  // namespace tessera::visualisation
