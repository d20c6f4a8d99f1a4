#include "launcher/contract/tracker_parts.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "launcher/inference/checked_tracker.h"

namespace tessera::contract {
namespace {

constexpr int64_t kMaskHeight = 16, kMaskWidth = 24;
constexpr int64_t kObjects = 5;

/// The objects that the rows of each window show: some leave, come back or are there twice.
std::vector<std::vector<int64_t>> shown_objects() {
  return {{0, 1, 2}, {0, 1, 2}, {0, 2, 2, 3}, {2, 3}, {4, 3, 2, 0}, {1, 4, 3}};
}

using Answers = std::vector<std::vector<int64_t>>;  // the track of each row of each window

class DistanceLinker final : public Linker {
 public:
  at::Tensor cost(const WindowTracks& before, const WindowTracks& next, int64_t) const override {
    return at::cdist(before.embeddings, next.embeddings).to(at::kFloat);
  }
  double largest_cost() const override { return 4.0; }
};

/// States where the windows of a video are.
void place(std::vector<TrackerInput>& video, int64_t frames, int64_t overlap) {
  for (size_t window = 0; window < video.size(); ++window) {
    video[window].num_frames = frames;
    video[window].overlap = window == 0 ? 0 : overlap;
    video[window].rows.first_frame = static_cast<int64_t>(window) * (frames - overlap);
  }
}

/// Windows of a video in which each object has an embedding, a class and a place of its own; rows
/// of the same object differ a little.
std::vector<TrackerInput> make_video(const Tracker& part, int64_t frames, Numbers& numbers) {
  const int64_t overlap = part.needed_overlap();
  check(overlap >= 0 && overlap <= frames,
        "needed_overlap() of 0 to " + std::to_string(frames) + " frames");
  const at::Tensor embeddings = numbers.normal({kObjects, kDim}),
                   identities = numbers.normal({kObjects, kDim}),
                   logits = 3 * numbers.normal({kObjects, kCategories + 1});
  at::Tensor masks = at::full({kObjects, kMaskHeight, kMaskWidth}, -5, embeddings.options());
  for (int64_t object = 0; object < kObjects; ++object)
    masks[object].narrow(1, 4 * object, 4).fill_(5);
  std::vector<TrackerInput> video;
  for (const std::vector<int64_t>& shown : shown_objects()) {
    const at::Tensor objects = at::tensor(shown, at::kLong);
    const auto rows_of = [&](const at::Tensor& all) {
      const at::Tensor rows = all.index_select(0, objects);
      return rows + 0.01 * numbers.normal(rows.sizes());
    };
    TrackerInput& input = video.emplace_back();
    input.rows.embeddings = rows_of(embeddings);
    input.identity = rows_of(identities);
    input.class_logits = rows_of(logits);
    input.rows.class_probabilities = input.class_logits.softmax(-1).narrow(-1, 0, kCategories);
    if (part.wants_masks())
      input.rows.mask_logits = rows_of(masks.unsqueeze(1).expand({-1, frames, -1, -1}));
    // A query shows one object; the second row of an object comes from a query of its own.
    for (size_t row = 0; row < shown.size(); ++row) {
      const auto end = shown.begin() + static_cast<int64_t>(row);
      const bool is_again = std::find(shown.begin(), end, shown[row]) != end;
      input.queries.push_back(shown[row] + (is_again ? kObjects : 0));
    }
  }
  place(video, frames, overlap);
  return video;
}

/// The rows of a window the other way round.
TrackerInput reversed(TrackerInput input) {
  for (at::Tensor* rows : {&input.rows.embeddings, &input.rows.class_probabilities,
                           &input.rows.mask_logits, &input.class_logits, &input.identity})
    if (rows->defined()) *rows = rows->flip(0);
  std::reverse(input.queries.begin(), input.queries.end());
  return input;
}

CheckedTracker begin_video(const Tracker& part) {
  return CheckedTracker(part.begin(), "this plugin");
}

Answers answers_of(const Tracker& part, const std::vector<TrackerInput>& video) {
  CheckedTracker tracks = begin_video(part);
  Answers answers;
  for (const TrackerInput& window : video) answers.push_back(tracks.update(window).track_of_row);
  return answers;
}

std::vector<TrackerInput> float_video(const Tracker& part, int64_t frames) {
  Numbers numbers(at::kFloat);
  return make_video(part, frames, numbers);
}

void check_fresh_video(const Tracker& part, int64_t frames) {
  const auto video = float_video(part, frames);
  const Answers first = answers_of(part, video);
  // A video between that begins with what was the end of the first.
  auto backwards = video;
  std::reverse(backwards.begin(), backwards.end());
  place(backwards, frames, part.needed_overlap());
  answers_of(part, backwards);
  check(answers_of(part, video) == first, "the tracks of a video to depend on no video before");
  // Two at once.
  CheckedTracker one = begin_video(part), other = begin_video(part);
  for (size_t window = 0; window < video.size(); ++window) {
    check(one.update(video[window]).track_of_row == first[window] &&
              other.update(video[window]).track_of_row == first[window],
          "the tracks of a video to depend on no video beside it");
  }
}

/// Tracks are numbered by the order of rows, so the numbers of new ones may be others.
void check_order(const Tracker& part, int64_t frames) {
  auto video = float_video(part, frames);
  const Answers goal = answers_of(part, video);
  std::transform(video.begin(), video.end(), video.begin(), reversed);
  Answers found = answers_of(part, video);
  std::map<int64_t, int64_t> names{{-1, -1}}, back{{-1, -1}};
  for (size_t window = 0; window < goal.size(); ++window) {
    std::reverse(found[window].begin(), found[window].end());
    for (size_t row = 0; row < goal[window].size(); ++row) {
      const int64_t a = goal[window][row], b = found[window][row];
      check(names.try_emplace(a, b).first->second == b && back.try_emplace(b, a).first->second == a,
            "the same tracks where the rows of each window come in reverse order, got others in "
            "window " +
                std::to_string(window));
    }
  }
}

}  // namespace

std::shared_ptr<const Linker> make_linker() {
  return std::make_shared<DistanceLinker>();
}

std::vector<at::Tensor> run_tracker(const Tracker& part, int64_t frames, Numbers& numbers) {
  std::vector<at::Tensor> outputs;
  for (const std::vector<int64_t>& tracks : answers_of(part, make_video(part, frames, numbers)))
    outputs.push_back(at::tensor(tracks, at::kLong));
  return outputs;
}

std::vector<NamedCheck> tracker_checks(const Tracker& part, int64_t frames) {
  return {{"begins every video afresh", [&part, frames] { check_fresh_video(part, frames); }},
          {"does not heed the order of rows", [&part, frames] { check_order(part, frames); }}};
}

}  // namespace tessera::contract
