#pragma once

#include <memory>

#include "core/interfaces/build_context.h"
#include "core/interfaces/tracker.h"

namespace tessera {

/// The tracker `linked`: a linker joins the rows of neighbouring windows. Rows that it joins go on
/// with their track, the others begin a track. A track has ended if no window that the linker
/// remembers holds it: the window before, or any window that shares frames with the next.
class TESSERA_API LinkedTracker final : public Tracker {
 public:
  struct Options {
    static void describe(Schema<Options>& schema);
  };
  /// Runs BuildContext::linker. Throws ConfigError if there is none.
  LinkedTracker(const Options& options, const BuildContext& context);
  explicit LinkedTracker(std::shared_ptr<const Linker> linker);

  bool wants_masks() const override { return linker_->wants_masks(); }
  /// A single window has nothing to be compared with.
  bool wants_masks_of_single_window() const override { return false; }
  int64_t needed_overlap() const override { return linker_->needed_overlap(); }
  std::unique_ptr<VideoTracker> begin() const override;

 private:
  std::shared_ptr<const Linker> linker_;
};

}  // namespace tessera
