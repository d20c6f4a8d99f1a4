// The repair that takes a file of its own: exchanging masks between the tracks of a frame.

#include <algorithm>

#include "core/matching/minimum_cost.h"
#include "launcher/evaluation/diagnostics/repairs.h"

namespace tessera::evaluation {
namespace {

/// The predictions of one category and the objects that they are meant to follow.
class Exchange {
 public:
  Exchange(const Scene& scene, const SceneCell& cell, const std::vector<size_t>& matches)
      : scene_(scene), predictions_(cell.predictions) {
    for (const size_t g : cell.truths) {
      if (!scene.overlaps->truths()[g].is_crowd) truths_.push_back(g);
    }
    choose_owners(matches);
  }

  void run(Scene& repaired) const {
    for (size_t t = 0; t < scene_.overlaps->num_frames(); ++t) run_frame(t, repaired);
  }

 private:
  bool is_on(size_t row, size_t column, size_t frame) const {
    return frame_iou(scene_, predictions_[row], truths_[column], frame) >= kFoundIou;
  }

  // An object's track is the prediction that AP matches to it; objects without one share the other
  // predictions so that most frames are right.
  void choose_owners(const std::vector<size_t>& matches) {
    owner_.assign(truths_.size(), kNoMatch);
    std::vector<bool> is_owner(predictions_.size(), false);
    for (size_t column = 0; column < truths_.size(); ++column) {
      for (size_t row = 0; row < predictions_.size(); ++row) {
        if (matches[predictions_[row]] != truths_[column]) continue;
        owner_[column] = row;
        is_owner[row] = true;
      }
    }
    std::vector<size_t> free_rows, free_columns;
    for (size_t row = 0; row < predictions_.size(); ++row) {
      if (matches[predictions_[row]] == kNoMatch) free_rows.push_back(row);
    }
    for (size_t column = 0; column < truths_.size(); ++column) {
      if (owner_[column] == kNoMatch) free_columns.push_back(column);
    }
    std::vector<double> cost;
    for (const size_t row : free_rows) {
      for (const size_t column : free_columns) {
        double num_frames = 0;
        for (size_t t = 0; t < scene_.overlaps->num_frames(); ++t) {
          if (is_on(row, column, t)) ++num_frames;
        }
        // Among equals the surest, which come first.
        const double rank = static_cast<double>(row) / static_cast<double>(predictions_.size());
        cost.push_back(num_frames == 0 ? 0 : -num_frames + 1e-3 * rank);
      }
    }
    const auto pairs = assign_minimum_cost(cost.data(), static_cast<int64_t>(free_rows.size()),
                                           static_cast<int64_t>(free_columns.size()));
    for (const auto& [i, j] : pairs) {
      const auto row = static_cast<size_t>(i);
      const auto column = static_cast<size_t>(j);
      if (cost[row * free_columns.size() + column] == 0) continue;
      owner_[free_columns[column]] = free_rows[row];
    }
  }

  void run_frame(size_t t, Scene& repaired) const {
    // Tracks that are on their object keep their mask; the masks of the others can be had.
    std::vector<bool> is_settled(predictions_.size(), false);
    std::vector<size_t> lost;  // columns whose owner is not on them
    for (size_t column = 0; column < truths_.size(); ++column) {
      const bool is_present = scene_.overlaps->truths()[truths_[column]].areas[t] > 0;
      if (owner_[column] == kNoMatch || !is_present) continue;
      if (is_on(owner_[column], column, t)) {
        is_settled[owner_[column]] = true;
      } else {
        lost.push_back(column);
      }
    }
    std::vector<size_t> offers;  // rows
    for (size_t row = 0; row < predictions_.size(); ++row) {
      if (!is_settled[row]) offers.push_back(row);
    }
    std::vector<double> cost;
    for (const size_t column : lost) {
      for (const size_t row : offers) {
        const double value = frame_iou(scene_, predictions_[row], truths_[column], t);
        // Most objects found, then the largest overlaps.
        cost.push_back(value >= kFoundIou ? -1e3 - value : 0);
      }
    }
    std::vector<std::pair<size_t, size_t>> moves;  // (from, to), rows
    const auto pairs = assign_minimum_cost(cost.data(), static_cast<int64_t>(lost.size()),
                                           static_cast<int64_t>(offers.size()));
    for (const auto& [i, j] : pairs) {
      const auto column = static_cast<size_t>(i);
      const auto offer = static_cast<size_t>(j);
      if (cost[column * offers.size() + offer] == 0) continue;
      moves.emplace_back(offers[offer], owner_[lost[column]]);
    }
    move_masks(t, moves, repaired);
  }

  void move_masks(size_t t, const std::vector<std::pair<size_t, size_t>>& moves,
                  Scene& repaired) const {
    std::vector<bool> gives(predictions_.size(), false);
    std::vector<bool> takes(predictions_.size(), false);
    for (const auto& [from, to] : moves) {
      gives[from] = true;
      takes[to] = true;
      repaired.predictions[predictions_[to]].sources[t] =
          scene_.predictions[predictions_[from]].sources[t];
    }
    // Who only gives gets what is left of those who only take.
    size_t taker = 0;
    for (size_t row = 0; row < predictions_.size(); ++row) {
      if (!gives[row] || takes[row]) continue;
      while (gives[taker] || !takes[taker]) ++taker;
      repaired.predictions[predictions_[row]].sources[t] =
          scene_.predictions[predictions_[taker++]].sources[t];
    }
  }

  const Scene& scene_;
  std::vector<size_t> predictions_;  // rows: indices into the scene
  std::vector<size_t> truths_;       // columns: indices into the scene, no crowds
  std::vector<size_t> owner_;        // row by column, or kNoMatch
};

}  // namespace

Scene repair_identity(const Scene& scene) {
  const std::vector<size_t> matches = matches_of(scene);
  Scene repaired = scene;
  for (const SceneCell& cell : cells_of(scene)) Exchange(scene, cell, matches).run(repaired);
  return repaired;
}

}  // namespace tessera::evaluation
