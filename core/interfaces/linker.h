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

/// What came before a window: every earlier window that shares frames with it.
struct TrackHistory {
  struct Window {
    WindowTracks rows;
    at::Tensor track;  // int64 on the CPU: the track of each row, in 0..num_tracks-1
  };
  std::vector<Window> windows;  // oldest first
  int64_t num_tracks = 0;       // P, each with a row in one of the windows
};

/// Joins the tracks of neighbouring windows. A linker gives the cost of joining; one assignment of
/// least total cost decides.
class TESSERA_API Linker : public Part {
 public:
  static constexpr const char* kKind = "linker";
  ~Linker() override;
  virtual bool wants_masks() const { return false; }
  /// The fewest frames that two neighbouring windows must share for their tracks to be compared;
  /// 0: windows may follow one another (MinVIS is window = 1).
  virtual int64_t needed_overlap() const { return 0; }
  /// in: the window before (already in track order) and the next; `overlap` frames, at least
  /// needed_overlap(), are in both. out: [P,Q] float, finite.
  virtual at::Tensor cost(const WindowTracks& before, const WindowTracks& next,
                          int64_t overlap) const = 0;
  /// A pair that costs more is not joined.
  virtual double largest_cost() const = 0;

  /// Whether tracks are compared with all earlier windows that share frames with the next, so that
  /// a track may be missing in the window before and go on: history_cost() is then called in place
  /// of cost().
  virtual bool remembers_windows() const { return false; }
  /// in: at least one earlier window. out: [P,Q] float, finite. By default the mean of cost() over
  /// the windows in which a track has a row.
  virtual at::Tensor history_cost(const TrackHistory& history, const WindowTracks& next) const;

  /// in: as cost(). out: [P] int64 on the CPU, for each track of `before` the row of `next` that
  /// goes on with it, -1 = none. Throws RuntimeError on a cost that is not finite and on windows
  /// that share fewer frames than needed_overlap().
  at::Tensor link(const WindowTracks& before, const WindowTracks& next, int64_t overlap) const;
  /// The same for all earlier windows.
  at::Tensor link(const TrackHistory& history, const WindowTracks& next) const;

 private:
  at::Tensor assign(const at::Tensor& costs, int64_t num_tracks) const;
};

/// Frames that are in both windows; both need mask logits. The second begins no earlier.
TESSERA_API int64_t shared_frames(const WindowTracks& before, const WindowTracks& next);

}  // namespace tessera
