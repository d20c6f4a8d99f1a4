#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tessera::visualisation {

/// What to draw of one track in one frame.
struct OverlayInstance {
  at::Tensor mask;  // [H,W] bool; undefined or empty of pixels: nothing is drawn
  int64_t track_id = 0;
  std::string category;
  std::optional<double> score;  // 0..1; none for ground truth
};

/// The colour of a track, R G B: the same in every frame and run, neighbours far apart.
std::array<uint8_t, 3> track_colour(int64_t track_id);

/// Draws masks (half transparent, with outlines) and labels such as "person 3 0.87" on a frame;
/// later instances lie on top. Save the result with data::write_image.
/// in: frame [H,W,3] uint8 RGB. out: the same, a copy. Throws ShapeError for masks of another size.
at::Tensor draw_overlay(const at::Tensor& frame, const std::vector<OverlayInstance>& instances);

}  // namespace tessera::visualisation
