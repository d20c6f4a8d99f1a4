#pragma once

#include "core/interfaces/part.h"

namespace tessera {

/// The tracks of one window of a video, as a linker sees them.
struct WindowTracks {
  int64_t first_frame = 0;
  at::Tensor embeddings;           // [Q,D] per track, or undefined
  at::Tensor class_probabilities;  // [Q,K]
  at::Tensor mask_logits;          // [Q,T,h,w], or undefined unless wants_masks()
};

/// Joins the tracks of neighbouring windows; overlap may be 0 (MinVIS is window = 1). A linker says
/// what joining costs; one assignment of least total cost decides.
class TESSERA_API Linker : public Part {
 public:
  static constexpr const char* kKind = "linker";
  ~Linker() override;
  virtual bool wants_masks() const { return false; }
  /// in: the window before (already in track order) and the next; `overlap` frames are in both.
  /// out: [P,Q] float, finite; undefined where nothing can be compared.
  virtual at::Tensor cost(const WindowTracks& before, const WindowTracks& next,
                          int64_t overlap) const = 0;
  /// A pair that costs more is not joined.
  virtual double largest_cost() const = 0;

  /// in: as cost(). out: [P] int64 on the CPU, for each track of `before` the row of `next` that
  /// goes on with it, -1 = none. Throws RuntimeError on a cost that is not finite.
  at::Tensor link(const WindowTracks& before, const WindowTracks& next, int64_t overlap) const;
};

}  // namespace tessera
