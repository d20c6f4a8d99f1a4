#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <vector>

#include "launcher/data/image_rules.h"
#include "launcher/data/ytvis.h"

namespace tessera::visualisation {

/// A video's annotations drawn on one of its frames.
/// out: [H,W,3] uint8 RGB. Throws DataError where the image is missing, broken or of another size.
at::Tensor draw_annotated_frame(const data::AnnotationFile& annotations, size_t video,
                                int64_t frame, const data::ImageSource& images);

struct SheetOptions {
  int64_t columns = 6;             // frames of a video, spread over its length
  int64_t cell_width = 240;        // pixels
  int64_t largest_side = 1 << 15;  // of the sheet, pixels
};

/// One row for each of the videos, its name above it.
/// out: [H,W,3] uint8 RGB. Throws ConfigError where the sheet would be too large, and what
/// draw_annotated_frame throws.
at::Tensor draw_contact_sheet(const data::AnnotationFile& annotations,
                              const std::vector<size_t>& videos, const data::ImageSource& images,
                              const SheetOptions& options);

/// Writes annotated frames of the videos, one video after the other, as a video file; its size is
/// the first video's, others are fitted into it. The ending of the name chooses the format: .avi
/// (Motion JPEG) always works, .mp4 where OpenCV has an encoder for it.
/// in: frames_per_second above 0. Throws RuntimeError where it cannot be written.
void write_annotated_video(const data::AnnotationFile& annotations,
                           const std::vector<size_t>& videos, const data::ImageSource& images,
                           const std::filesystem::path& output, double frames_per_second);

}  // namespace tessera::visualisation
