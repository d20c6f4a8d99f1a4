#pragma once

#include <vector>

#include "core/interfaces/part.h"

namespace tessera {

/// The tracks of one window of a video, as a linker sees them.
struct WindowTracks {
  int64_t first_frame = 0;
  at::Tensor embeddings;           // [Q,D] per track, or undefined
  at::Tensor class_probabilities;  // [Q,K]
  at::Tensor mask_logits;          // [Q,T,h,w], or undefined unless wants_masks()
};

/// Joins the tracks of neighbouring windows; overlap may be 0 (MinVIS is window = 1).
class TESSERA_API Linker : public Part {
 public:
  static constexpr const char* kKind = "linker";
  ~Linker() override;
  virtual bool wants_masks() const { return false; }
  /// in: the window before (already in track order) and the next; `overlap` frames are in both.
  /// out: [Q] int64, for each track of `before` the row of `next` that goes on with it, -1 = none.
  virtual at::Tensor link(const WindowTracks& before, const WindowTracks& next,
                          int64_t overlap) = 0;
};

}  // namespace tessera
