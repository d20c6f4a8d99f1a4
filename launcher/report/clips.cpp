#include "launcher/report/clips.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <map>

#include "launcher/data/clip_dataset.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/image_io.h"
#include "launcher/evaluation/score.h"
#include "launcher/visualisation/overlay.h"

namespace tessera::report {
namespace {

/// Everything of one video.
struct VideoCase {
  const data::Video* video = nullptr;
  std::vector<const data::Annotation*> truth;
  std::vector<const evaluation::ResultTrack*> found;
  double ap = 0, fit = 0;
};

double own_ap(const data::AnnotationFile& all, const VideoCase& one) {
  data::AnnotationFile truth;
  truth.file = all.file;
  truth.videos = {*one.video};
  truth.categories = all.categories;
  for (const data::Annotation* annotation : one.truth) {
    truth.annotations.push_back(*annotation);
    truth.annotations.back().video_index = 0;
  }
  evaluation::Results results;
  for (const evaluation::ResultTrack* track : one.found) results.tracks.push_back(*track);
  return evaluation::score(truth, results, {.num_threads = 1}).stat("AP");
}

double own_fit(const VideoCase& one) {
  double sum = 0;
  for (const data::Annotation* annotation : one.truth) {
    double best = 0;
    for (const evaluation::ResultTrack* track : one.found)
      if (track->category_id == annotation->category_id)
        best =
            std::max(best, evaluation::track_iou(annotation->segmentations, track->segmentations));
    sum += best;
  }
  return one.truth.empty() ? 0 : sum / static_cast<double>(one.truth.size());
}

at::Tensor mask_of(const data::Rle& rle) {
  std::vector<uint8_t> bytes = data::to_mask(rle);
  return at::from_blob(bytes.data(), {rle.height, rle.width}, at::kByte).to(at::kBool);
}

std::string base64(const std::vector<uint8_t>& bytes) {
  constexpr const char* kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = std::min<size_t>(3, bytes.size() - i);
    uint32_t three = 0;
    for (size_t j = 0; j < 3; ++j) three = three << 8 | (j < left ? bytes[i + j] : 0u);
    for (size_t j = 0; j < 4; ++j) out += j <= left ? kLetters[three >> (18 - 6 * j) & 63u] : '=';
  }
  return out;
}

/// Small frames are enlarged by whole factors, so that labels do not hide what they name.
int64_t enlargement(int64_t height) {
  constexpr int64_t kShownHeight = 240;
  return std::max<int64_t>(1, kShownHeight / std::max<int64_t>(1, height));
}

at::Tensor enlarged(const at::Tensor& pixels, int64_t factor) {  // [H,W,..]
  return pixels.repeat_interleave(factor, 0).repeat_interleave(factor, 1);
}

std::vector<int64_t> shown_frames(int64_t length, int64_t most) {
  std::vector<int64_t> frames;
  const int64_t count = std::min(length, most);
  for (int64_t i = 0; i < count; ++i) frames.push_back(i * length / count);
  return frames;
}

ShownVideo draw(const VideoCase& one, const std::map<int64_t, std::string>& names,
                const data::ImageSource& images, const ClipChoice& choice) {
  ShownVideo shown{data::video_name(*one.video), one.ap, one.fit, {}, {}};
  for (const int64_t frame : shown_frames(one.video->length, choice.most_frames)) {
    const auto f = static_cast<size_t>(frame);
    const int64_t factor = enlargement(one.video->height);
    const at::Tensor image = enlarged(
        data::read_image(data::find_image(images.folder, one.video->file_names[f]), images.rules),
        factor);
    std::vector<visualisation::OverlayInstance> truth, found;
    for (size_t i = 0; i < one.truth.size(); ++i)
      if (const auto& rle = one.truth[i]->segmentations[f])
        truth.push_back({enlarged(mask_of(*rle), factor), static_cast<int64_t>(i),
                         names.at(one.truth[i]->category_id), std::nullopt});
    for (size_t i = 0; i < one.found.size(); ++i) {
      const evaluation::ResultTrack& track = *one.found[i];
      if (track.score < choice.smallest_score || f >= track.segmentations.size()) continue;
      if (const auto& rle = track.segmentations[f])
        found.push_back({enlarged(mask_of(*rle), factor), static_cast<int64_t>(i),
                         names.at(track.category_id), track.score});
    }
    shown.truth.push_back(base64(data::encode_jpeg(visualisation::draw_overlay(image, truth))));
    shown.found.push_back(base64(data::encode_jpeg(visualisation::draw_overlay(image, found))));
  }
  return shown;
}

}  // namespace

std::vector<ShownVideo> choose_clips(const data::AnnotationFile& truth,
                                     const evaluation::Results& results,
                                     const data::ImageSource& images, const ClipChoice& choice) {
  std::vector<VideoCase> cases;
  std::map<int64_t, size_t> case_of;
  for (const data::Video& video : truth.videos) {
    case_of[video.id] = cases.size();
    cases.push_back({&video, {}, {}});
  }
  for (const data::Annotation& annotation : truth.annotations)
    if (!annotation.is_crowd) cases[case_of.at(annotation.video_id)].truth.push_back(&annotation);
  for (const evaluation::ResultTrack& track : results.tracks)
    if (const auto found = case_of.find(track.video_id); found != case_of.end())
      cases[found->second].found.push_back(&track);
  std::erase_if(cases, [](const VideoCase& one) { return one.truth.empty(); });
  for (VideoCase& one : cases) {
    one.ap = own_ap(truth, one);
    one.fit = own_fit(one);
  }
  // AP of a video alone takes few values; how well its masks fit decides between equals.
  std::stable_sort(cases.begin(), cases.end(), [](const VideoCase& a, const VideoCase& b) {
    return std::pair(a.ap, a.fit) > std::pair(b.ap, b.fit);
  });
  std::map<int64_t, std::string> names;
  for (const data::Category& category : truth.categories) names[category.id] = category.name;
  const auto count = static_cast<int64_t>(cases.size());
  std::vector<ShownVideo> shown;
  for (int64_t i = 0; i < count; ++i)
    if (i < choice.best || i >= count - choice.worst)
      shown.push_back(draw(cases[static_cast<size_t>(i)], names, images, choice));
  return shown;
}

}  // namespace tessera::report
