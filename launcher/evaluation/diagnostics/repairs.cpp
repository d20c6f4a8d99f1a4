#include "launcher/evaluation/diagnostics/repairs.h"

#include <algorithm>
#include <map>

namespace tessera::evaluation {
namespace {

FrameSpan whole(const Scene& scene) {
  return {0, scene.overlaps->num_frames()};
}

const VideoOverlaps::Truth& truth_of(const Scene& scene, size_t g) {
  return scene.overlaps->truths()[g];
}

/// The best IoU of a prediction with an object for which `is_candidate`, and that object.
template <typename IsCandidate>
std::pair<double, size_t> best_overlap(const Scene& scene, size_t d, IsCandidate&& is_candidate) {
  std::pair<double, size_t> best{0, kNoMatch};
  for (size_t g = 0; g < scene.is_left_out.size(); ++g) {
    if (!is_candidate(truth_of(scene, g))) continue;
    const double value = iou(scene, d, g, whole(scene));
    if (value > best.first) best = {value, g};
  }
  return best;
}

void remove_predictions(Scene& scene, const std::vector<bool>& is_gone) {
  size_t kept = 0;
  for (size_t d = 0; d < scene.predictions.size(); ++d) {
    if (is_gone[d]) continue;
    if (kept != d) scene.predictions[kept] = std::move(scene.predictions[d]);
    ++kept;
  }
  scene.predictions.resize(kept);
}

}  // namespace

std::vector<size_t> matches_of(const Scene& scene) {
  std::vector<size_t> matches(scene.predictions.size(), kNoMatch);
  for (const SceneCell& cell : cells_of(scene)) {
    std::vector<GroundTruth> truths(cell.truths.size());
    std::vector<const GroundTruth*> pointers;
    std::vector<bool> is_ignored;
    for (size_t i = 0; i < truths.size(); ++i) {
      truths[i].is_crowd = truth_of(scene, cell.truths[i]).is_crowd;
      pointers.push_back(&truths[i]);
      is_ignored.push_back(truths[i].is_crowd);
    }
    Ious ious;
    for (const size_t d : cell.predictions) {
      std::vector<double>& row = ious.emplace_back();
      for (const size_t g : cell.truths) row.push_back(iou(scene, d, g, whole(scene)));
    }
    const auto found = match_greedily(ious, pointers, is_ignored, kFoundIou);
    for (size_t i = 0; i < found.size(); ++i) {
      if (found[i] != kNoMatch) matches[cell.predictions[i]] = cell.truths[found[i]];
    }
  }
  return matches;
}

Scene repair_class(const Scene& scene) {
  const std::vector<size_t> matches = matches_of(scene);
  Scene repaired = scene;
  // By object: its prediction, and those that would be if their label were right.
  std::map<size_t, std::vector<size_t>> rivals;
  for (size_t d = 0; d < matches.size(); ++d) {
    if (matches[d] != kNoMatch) {
      if (!truth_of(scene, matches[d]).is_crowd) rivals[matches[d]].push_back(d);
      continue;
    }
    const size_t category = scene.predictions[d].category;
    const auto own = best_overlap(
        scene, d, [&](const VideoOverlaps::Truth& truth) { return truth.category == category; });
    const auto other = best_overlap(scene, d, [&](const VideoOverlaps::Truth& truth) {
      return truth.category != category && !truth.is_crowd;
    });
    if (own.first >= kFoundIou || other.first < kFoundIou) continue;
    repaired.predictions[d].category = truth_of(scene, other.second).category;
    rivals[other.second].push_back(d);
  }
  std::vector<bool> is_gone(matches.size(), false);
  for (const auto& [g, list] : rivals) {
    const size_t surest = *std::max_element(list.begin(), list.end(), [&](size_t a, size_t b) {
      return scene.predictions[a].score < scene.predictions[b].score;
    });
    for (const size_t d : list) is_gone[d] = d != surest;
  }
  remove_predictions(repaired, is_gone);
  return repaired;
}

Scene repair_mask(const Scene& scene) {
  Scene repaired = scene;
  for (size_t d = 0; d < scene.predictions.size(); ++d) {
    for (size_t t = 0; t < scene.overlaps->num_frames(); ++t) {
      double best = kBackgroundIou;
      for (size_t g = 0; g < scene.is_left_out.size(); ++g) {
        const VideoOverlaps::Truth& truth = truth_of(scene, g);
        if (truth.is_crowd || truth.category != scene.predictions[d].category) continue;
        const double value = frame_iou(scene, d, g, t);
        if (value < best) continue;
        best = value;
        repaired.predictions[d].sources[t] = {MaskSource::Kind::kTruth, static_cast<uint32_t>(g)};
      }
    }
  }
  return repaired;
}

Scene repair_duplicates(const Scene& scene) {
  const std::vector<size_t> matches = matches_of(scene);
  std::vector<bool> is_gone(matches.size(), false);
  for (size_t d = 0; d < matches.size(); ++d) {
    if (matches[d] != kNoMatch) continue;
    const size_t category = scene.predictions[d].category;
    const auto best = best_overlap(
        scene, d, [&](const VideoOverlaps::Truth& truth) { return truth.category == category; });
    is_gone[d] = best.first >= kFoundIou;
  }
  Scene repaired = scene;
  remove_predictions(repaired, is_gone);
  return repaired;
}

Scene repair_misses(const Scene& scene) {
  Scene repaired = scene;
  for (size_t g = 0; g < scene.is_left_out.size(); ++g) {
    if (truth_of(scene, g).is_crowd) continue;
    bool is_near = false;
    for (size_t d = 0; d < scene.predictions.size() && !is_near; ++d) {
      is_near = iou(scene, d, g, whole(scene)) >= kBackgroundIou;
    }
    if (!is_near) repaired.is_left_out[g] = true;
  }
  return repaired;
}

Scene repair_background(const Scene& scene) {
  std::vector<bool> is_gone(scene.predictions.size(), false);
  for (size_t d = 0; d < is_gone.size(); ++d) {
    const auto best = best_overlap(scene, d, [](const VideoOverlaps::Truth&) { return true; });
    is_gone[d] = best.first < kBackgroundIou;
  }
  Scene repaired = scene;
  remove_predictions(repaired, is_gone);
  return repaired;
}

}  // namespace tessera::evaluation
