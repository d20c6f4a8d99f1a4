#include "launcher/data/split.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string_view>

#include "core/error.h"
#include "core/structures/random.h"
#include "launcher/data/json_parts.h"
#include "launcher/data/json_reader.h"
#include "launcher/data/mapped_file.h"
#include "launcher/data/ytvis.h"
#include "launcher/data/ytvis_writer.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::data {
namespace {

constexpr uint64_t kSplitStream = 5;  // apart from those of clip_dataset.cpp and synth.cpp

/// Videos that belong together, with what they hold.
struct Group {
  std::vector<size_t> videos;
  std::vector<int64_t> objects_of;  // [category]
};

void check(const SplitDataOptions& options) {
  if (options.parts.size() < 2)
    throw ConfigError("data split --part: expected at least two parts, got " +
                      std::to_string(options.parts.size()) +
                      ". For example: --part train=0.8 --part valid=0.2");
  std::set<std::string> names;
  for (const auto& [name, fraction] : options.parts) {
    if (name.empty() || name.find('/') != name.npos || !names.insert(name).second)
      throw ConfigError("data split --part: expected different names of files, got '" + name +
                        "'.");
    if (!(fraction > 0) || fraction > 1e9)
      throw ConfigError("data split --part " + name + ": expected a share above 0, got " +
                        std::to_string(fraction) + ".");
  }
}

std::vector<Group> make_groups(const AnnotationFile& file) {
  std::vector<size_t> leader(file.videos.size());
  std::iota(leader.begin(), leader.end(), size_t{0});
  const auto find = [&](size_t video) {
    while (leader[video] != video) video = leader[video] = leader[leader[video]];
    return video;
  };
  std::map<std::string_view, size_t> first_with;
  for (size_t v = 0; v < file.videos.size(); ++v)
    for (const std::string& name : file.videos[v].file_names) {
      const size_t a = find(v);
      const size_t b = find(first_with.try_emplace(name, v).first->second);
      leader[std::max(a, b)] = std::min(a, b);
    }
  std::map<size_t, Group> groups;
  for (size_t v = 0; v < file.videos.size(); ++v) groups[find(v)].videos.push_back(v);
  for (auto& [video, group] : groups) group.objects_of.resize(file.categories.size());
  for (const Annotation& annotation : file.annotations)
    ++groups.at(find(annotation.video_index)).objects_of[annotation.category_index];
  std::vector<Group> list;
  for (auto& [video, group] : groups) list.push_back(std::move(group));
  return list;
}

/// Deals groups out to the parts.
class Dealer {
 public:
  Dealer(const SplitDataOptions& options, const std::vector<Group>& groups, size_t num_categories)
      : groups_(groups), random_({options.seed, kSplitStream}), part_of_(groups.size()) {
    double whole = 0;
    for (const SplitPart& part : options.parts) whole += part.fraction;
    std::vector<double> objects(num_categories);
    double videos = 0;
    for (const Group& group : groups) {
      videos += static_cast<double>(group.videos.size());
      for (size_t c = 0; c < num_categories; ++c)
        objects[c] += static_cast<double>(group.objects_of[c]);
    }
    for (const SplitPart& part : options.parts) {
      Wanted& wanted = wanted_.emplace_back();
      wanted.videos = videos * part.fraction / whole;
      for (const double count : objects) wanted.objects_of.push_back(count * part.fraction / whole);
    }
    left_ = std::move(objects);
  }

  /// out: [group] which part it goes to.
  std::vector<size_t> deal() {
    std::vector<size_t> order(groups_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1],
                order[static_cast<size_t>(random_.integer(0, static_cast<int64_t>(i) - 1))]);
    while (!order.empty()) {
      // The rarest category first: later there may be none of it left to give.
      const auto rarest = rarest_category();
      const auto next = std::find_if(order.begin(), order.end(), [&](size_t group) {
        return !rarest || groups_[group].objects_of[*rarest] > 0;
      });
      give(*next, rarest);
      order.erase(next);
    }
    fill_empty_parts();
    return part_of_;
  }

 private:
  struct Wanted {  // what a part still lacks
    double videos = 0;
    std::vector<double> objects_of;
  };

  std::optional<size_t> rarest_category() const {
    std::optional<size_t> rarest;
    for (size_t c = 0; c < left_.size(); ++c)
      if (left_[c] > 0.5 && (!rarest || left_[c] < left_[*rarest])) rarest = c;
    return rarest;
  }

  void give(size_t index, std::optional<size_t> category) {
    const Group& group = groups_[index];
    const auto lack = [&](const Wanted& wanted) {
      return std::pair(category ? wanted.objects_of[*category] : wanted.videos, wanted.videos);
    };
    const auto part =
        std::max_element(wanted_.begin(), wanted_.end(),
                         [&](const Wanted& a, const Wanted& b) { return lack(a) < lack(b); });
    part->videos -= static_cast<double>(group.videos.size());
    for (size_t c = 0; c < left_.size(); ++c) {
      part->objects_of[c] -= static_cast<double>(group.objects_of[c]);
      left_[c] -= static_cast<double>(group.objects_of[c]);
    }
    part_of_[index] = static_cast<size_t>(part - wanted_.begin());
  }

  /// A small share of few videos can come to nothing; nobody asks for a part to have an empty one.
  void fill_empty_parts() {
    std::vector<size_t> count(wanted_.size(), 0);
    for (const size_t part : part_of_) ++count[part];
    for (size_t part = 0; part < count.size(); ++part) {
      if (count[part] > 0) continue;
      const auto fullest =
          static_cast<size_t>(std::max_element(count.begin(), count.end()) - count.begin());
      *std::find(part_of_.begin(), part_of_.end(), fullest) = part;
      --count[fullest];
      ++count[part];
    }
  }

  const std::vector<Group>& groups_;
  Random random_;
  std::vector<size_t> part_of_;
  std::vector<Wanted> wanted_;  // [part]
  std::vector<double> left_;    // [category] objects not dealt out yet
};

void write_list(AtomicFile& out, const std::vector<std::string_view>& texts) {
  out.write("[");
  for (size_t i = 0; i < texts.size(); ++i) {
    out.write(i == 0 ? "\n" : ",\n");
    out.write(texts[i]);
  }
  out.write("\n]");
}

/// The text of each entry of a list of the file that belongs to a part.
std::vector<std::string_view> pick(const std::vector<std::string_view>& texts,
                                   const std::vector<size_t>& part_of, size_t part) {
  std::vector<std::string_view> picked;
  for (size_t i = 0; i < texts.size(); ++i)
    if (part_of[i] == part) picked.push_back(texts[i]);
  return picked;
}

}  // namespace

std::vector<SplitSummary> split_data_set(const SplitDataOptions& options) {
  check(options);
  std::vector<SplitSummary> summaries;
  for (const SplitPart& part : options.parts) {
    summaries.push_back({part.name, options.output / (part.name + ".json"), 0, 0, {}});
    check_may_write(summaries.back().file, options.overwrite, "data split --output");
  }
  const AnnotationFile file = read_annotations(options.annotations);
  const std::vector<Group> groups = make_groups(file);
  if (groups.size() < options.parts.size())
    throw DataError(options.annotations.string() + ": expected at least " +
                    std::to_string(options.parts.size()) +
                    " videos that share no frame, one for each part, got " +
                    std::to_string(groups.size()) + ".");
  const std::vector<size_t> part_of_group = Dealer(options, groups, file.categories.size()).deal();
  std::vector<size_t> part_of_video(file.videos.size());
  for (size_t g = 0; g < groups.size(); ++g)
    for (const size_t video : groups[g].videos) part_of_video[video] = part_of_group[g];
  std::vector<size_t> part_of_annotation;
  for (SplitSummary& summary : summaries) summary.annotations_of.resize(file.categories.size());
  for (const size_t part : part_of_video) ++summaries[part].videos;
  for (const Annotation& annotation : file.annotations) {
    const size_t part = part_of_video[annotation.video_index];
    part_of_annotation.push_back(part);
    ++summaries[part].annotations;
    ++summaries[part].annotations_of[annotation.category_index];
  }

  // The file was read above: cutting it again cannot fail.
  const MappedFile mapped(options.annotations);
  const auto items = split_object(mapped.text());
  std::error_code ignored;  // AtomicFile says what is wrong with the folder
  std::filesystem::create_directories(options.output, ignored);
  for (size_t part = 0; part < summaries.size(); ++part) {
    AtomicFile out(summaries[part].file);
    out.write("{");
    std::string_view separator = "\n";
    for (const auto& [key, value] : items.value()) {
      out.write(separator);
      separator = ",\n";
      out.write("\"" + std::string(key) + "\": ");
      if (key == "videos") {
        write_list(out, pick(split_list(value).value(), part_of_video, part));
      } else if (key == "annotations") {
        write_list(out, pick(split_list(value).value(), part_of_annotation, part));
      } else {
        out.write(value);
      }
    }
    out.write("\n}\n");
    out.commit();
  }
  return summaries;
}

}  // namespace tessera::data
