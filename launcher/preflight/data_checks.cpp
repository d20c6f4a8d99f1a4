#include "launcher/preflight/data_checks.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "core/error.h"
#include "launcher/data/convert/frames.h"
#include "launcher/data/image_folder.h"
#include "launcher/training/validation.h"

namespace tessera::preflight {
namespace {

namespace fs = std::filesystem;

constexpr size_t kVideosLookedAt = 200;  // of each set, evenly spread: headers of their frames
constexpr size_t kShown = 5;             // of a list in a message

std::string shown(std::vector<std::string> items) {
  const size_t count = items.size();
  if (count > kShown) items.resize(kShown);
  return join(items) + (count > kShown ? ", ... (" + std::to_string(count) + " in all)" : "");
}

/// Categories in ascending order of their ids, which is the order of a model's classes.
std::vector<data::Category> in_order(std::vector<data::Category> categories) {
  std::sort(categories.begin(), categories.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
  return categories;
}

/// Every set that cannot be read by itself; opening them together ends with the first.
bool report_unreadable_sets(const Experiment& experiment, Findings& findings) {
  const auto& sets = experiment.data.train.sets;
  bool any = false;
  for (size_t i = 0; i < sets.size(); ++i) {
    const std::string key = "data.train.sets[" + std::to_string(i) + "]";
    any = !findings.attempt("training data", [&] {
      data::ClipSet(experiment.data, sets[i], key);
      return "";
    }) || any;
  }
  return any;
}

std::unique_ptr<data::ClipDataset> open_train(const Experiment& experiment, Findings& findings) {
  try {
    auto train =
        std::make_unique<data::ClipDataset>(experiment.data, experiment.data.train, "train");
    findings.ok("training data", std::to_string(train->size()) + " clips an epoch.");
    return train;
  } catch (const std::exception& error) {
    if (!report_unreadable_sets(experiment, findings))
      findings.problem("training data", error.what());
    return nullptr;
  }
}

/// Frames whose files state another size than the annotations.
void check_sizes(const data::AnnotationFile& file, const data::ImageSource& images,
                 const std::string& check, Findings& findings) {
  std::vector<std::string> wrong;
  const size_t step = std::max<size_t>(1, file.videos.size() / kVideosLookedAt);
  for (size_t v = 0; v < file.videos.size(); v += step) {
    const data::Video& video = file.videos[v];
    if (video.file_names.empty()) continue;
    const fs::path first = data::find_image(images.folder, video.file_names.front());
    try {
      const data::FrameSize size = data::size_of_image(first, images.rules);
      if (size.width == video.width && size.height == video.height) continue;
      wrong.push_back(first.string() + ": " + std::to_string(size.width) + "x" +
                      std::to_string(size.height) + " instead of " + std::to_string(video.width) +
                      "x" + std::to_string(video.height) + "." +
                      data::orientation_hint(first, images.rules));
    } catch (const Error& error) {
      wrong.push_back(error.what());
    }
  }
  for (std::string& text : wrong)
    if (text.ends_with('.')) text.pop_back();
  if (!wrong.empty())
    findings.problem(check,
                     file.file.string() +
                         ": expected first frames that can be read and have the annotations' "
                         "size, got " +
                         shown(wrong) + ". 'tessera data check' lists all.");
}

/// The same for each set; then some whole clips, as training loads them.
void check_train_images(const Experiment& experiment, const data::ClipDataset& train,
                        Findings& findings) {
  const SplitOptions& split = experiment.data.train;
  for (size_t i = 0; i < train.sets().size(); ++i)
    check_sizes(
        train.sets()[i].annotations(),
        {split.sets.empty() ? split.images : split.sets[i].images, experiment.data.image_rules()},
        "training data", findings);
  for (const std::string& warning : train.warnings()) findings.warn("training data", warning);
  const int64_t last = train.size() - 1;
  for (const int64_t sample : std::set<int64_t>{0, last / 2, last})
    findings.attempt("training data", [&] {
      train.load(sample, static_cast<uint64_t>(experiment.train.seed), /*epoch=*/0);
      return "";
    });
}

void check_clip_length(const data::ClipDataset& train, Findings& findings) {
  for (const data::ClipSet& set : train.sets()) {
    if (set.is_images()) continue;
    const int64_t span = set.span();
    const auto& videos = set.annotations().videos;
    int64_t shortest = span, count = 0;
    for (const data::Video& video : videos) {
      if (video.length >= span) continue;
      ++count;
      shortest = std::min(shortest, video.length);
    }
    if (count == 0) continue;
    findings.warn("clip length",
                  std::to_string(count) + " of " + std::to_string(videos.size()) + " videos of " +
                      set.annotations().file.string() + " have fewer than the " +
                      std::to_string(span) +
                      " frames that a clip spans (the shortest: " + std::to_string(shortest) +
                      "). Their frames are used more than once in a clip.");
  }
}

void check_used_categories(const data::ClipDataset& train, Findings& findings) {
  std::vector<std::string> unused;
  // Sets with a class_map contribute to the model's categories under other ids.
  for (const data::ClipSet& set : train.sets())
    if (set.is_mapped()) return;
  std::vector<data::Category> categories;
  std::set<int64_t> used;
  for (const data::ClipSet& set : train.sets()) {
    categories = set.annotations().categories;
    for (const data::Annotation& annotation : set.annotations().annotations)
      if (!annotation.is_crowd) used.insert(annotation.category_id);
  }
  for (const data::Category& category : in_order(categories))
    if (!used.contains(category.id)) unused.push_back("'" + category.name + "'");
  if (!unused.empty())
    findings.warn("categories", "No training video has an object of " + shown(unused) + ".");
}

/// A model's class i is the i-th category of the training set and of the validation set: the two
/// have to be the same category.
void check_same_categories(const data::ClipDataset& train, const data::AnnotationFile& validation,
                           Findings& findings) {
  const auto of_set = std::find_if(train.sets().begin(), train.sets().end(),
                                   [](const data::ClipSet& set) { return !set.is_mapped(); });
  if (of_set == train.sets().end()) return;  // the names of mapped categories are the model's own
  const auto ours = in_order(of_set->annotations().categories);
  const auto theirs = in_order(validation.categories);
  if (ours.size() != theirs.size()) return;  // reported with data.num_categories
  std::vector<std::string> different;
  for (size_t i = 0; i < ours.size(); ++i)
    if (ours[i].name != theirs[i].name)
      different.push_back("class " + std::to_string(i) + " is '" + ours[i].name + "' (id " +
                          std::to_string(ours[i].id) + ") in training and '" + theirs[i].name +
                          "' (id " + std::to_string(theirs[i].id) + ") in validation");
  if (different.empty())
    findings.ok("categories",
                std::to_string(ours.size()) + " categories, the same in training and validation.");
  else
    findings.problem("categories",
                     of_set->annotations().file.string() + " and " + validation.file.string() +
                         ": expected the same categories in the same order of ids, got different "
                         "ones: " +
                         shown(different) + ". Give both files the same categories.");
}

void check_ground_truth(const data::AnnotationFile& validation, Findings& findings) {
  std::set<size_t> videos, categories;
  for (const data::Annotation& annotation : validation.annotations) {
    if (annotation.is_crowd) continue;
    videos.insert(annotation.video_index);
    categories.insert(annotation.category_index);
  }
  if (videos.empty()) {
    findings.problem("validation",
                     validation.file.string() +
                         ": expected objects to score against, got none: every score would be "
                         "undefined. Official validation sets have no public ground truth; split "
                         "the training set with 'tessera data split'.");
    return;
  }
  findings.ok("validation", std::to_string(validation.videos.size()) + " videos, " +
                                std::to_string(videos.size()) + " of them with objects, of " +
                                std::to_string(categories.size()) + " of " +
                                std::to_string(validation.categories.size()) + " categories.");
}

void check_validation(const Experiment& experiment, OpenedData& opened, Findings& findings) {
  const SplitOptions& split = experiment.data.validation;
  const bool is_used = experiment.train.evaluate_every > 0;
  if (split.annotations.empty() && !is_used) {
    findings.warn("validation",
                  "No validation set is stated (data.validation.annotations): training scores "
                  "nothing, and keeps no best weights.");
    return;
  }
  try {
    // Exactly what training does before its first step.
    const Validation validation(experiment);
    opened.validation = validation.ground_truth();
    opened.validation_videos = validation.videos();
  } catch (const std::exception& error) {
    if (is_used)
      findings.problem("validation", error.what());
    else
      findings.warn("validation", std::string("It could not be scored: ") + error.what());
    return;
  }
  check_ground_truth(*opened.validation, findings);
  if (!split.images.empty())
    check_sizes(*opened.validation, {split.images, experiment.data.image_rules()}, "validation",
                findings);
  findings.attempt("validation", [&] {
    if (!opened.validation_videos.empty()) opened.validation_videos.front().read(0);
    return "";
  });
  if (opened.train) check_same_categories(*opened.train, *opened.validation, findings);
}

}  // namespace

OpenedData check_data(const Experiment& experiment, Findings& findings) {
  OpenedData opened;
  opened.train = open_train(experiment, findings);
  if (opened.train) {
    check_train_images(experiment, *opened.train, findings);
    check_clip_length(*opened.train, findings);
    check_used_categories(*opened.train, findings);
  }
  check_validation(experiment, opened, findings);
  return opened;
}

}  // namespace tessera::preflight
