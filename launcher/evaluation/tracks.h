#pragma once
// From files to what scoring needs of a track.

#include <cstdint>
#include <optional>
#include <vector>

#include "launcher/data/rle.h"
#include "launcher/data/ytvis.h"
#include "launcher/evaluation/matching.h"

namespace tessera::evaluation {

using Masks = std::vector<std::optional<data::Rle>>;

/// How much of a track is hidden (OVIS): the mean of the half of its frames in which most is (all
/// of them if there is one), with 0 for none, 0.25 for slight and 0.75 for severe; 0 where the file
/// states nothing.
double occlusion_score(const data::Annotation& annotation);

/// Sets masks and areas. `segmentations` must outlive the track. Throws DataError that names the
/// frame of a mask that is not valid.
void fill_areas(Track& track, const Masks& segmentations);

/// Mean over the areas that are not 0; 0 if there are none.
double mean_area(const std::vector<uint64_t>& areas);
/// The same of the areas that the file states.
double mean_stated_area(const data::Annotation& annotation);

/// Throws DataError unless there is one entry for each frame and every mask has the video's size.
void check_fits(const Masks& segmentations, const data::Video& video);

}  // namespace tessera::evaluation
