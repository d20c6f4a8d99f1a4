#pragma once

#include <array>

#include "launcher/evaluation/diagnostics/scene.h"

namespace tessera::evaluation {

/// IoU at which a prediction is on a ground truth track, and below which it has nothing to do with
/// it (the thresholds of TIDE, Bolya et al. 2020).
inline constexpr double kFoundIou = 0.5;
inline constexpr double kBackgroundIou = 0.1;

/// One class of error, and the scene without it. Each repair looks at the predictions as they are:
/// matched within their category as for AP50.
struct Repair {
  const char* name;
  Scene (*run)(const Scene& scene);
};

/// Frames in which a track has left its object get the mask, among those predicted with this label
/// in that frame, that is on the object; the track that had it takes the other in exchange.
Scene repair_identity(const Scene& scene);

/// A prediction that is on an object of another category, and on none of its own, gets that
/// category; of several for one object only the surest stays.
Scene repair_class(const Scene& scene);

/// In each frame, a mask becomes that of the object of its category on which it lies most, if their
/// IoU in this frame is at least kBackgroundIou. Frames without a mask stay without.
Scene repair_mask(const Scene& scene);

/// Predictions on an object that a surer one has taken are gone.
Scene repair_duplicates(const Scene& scene);

/// Objects that no prediction of any category comes near are no longer asked for.
Scene repair_misses(const Scene& scene);

/// Predictions that come near no object of any category are gone.
Scene repair_background(const Scene& scene);

inline constexpr std::array<Repair, 6> kRepairs = {{{"identity", repair_identity},
                                                    {"class", repair_class},
                                                    {"mask", repair_mask},
                                                    {"duplicates", repair_duplicates},
                                                    {"misses", repair_misses},
                                                    {"background", repair_background}}};

/// The ground truth track (index into the scene) that each prediction takes at kFoundIou, or
/// kNoMatch. Predictions beyond the first kMaxDetections take none.
std::vector<size_t> matches_of(const Scene& scene);

}  // namespace tessera::evaluation
