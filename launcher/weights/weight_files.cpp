#include "launcher/weights/weight_files.h"

#include <algorithm>
#include <map>
#include <optional>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/weights/match_weights.h"
#include "launcher/weights/weight_rules.h"

namespace tessera {
namespace {

void add_section(std::string& text, const std::string& title,
                 const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  text += "\n  " + std::to_string(lines.size()) + " " + title + ":";
  for (const auto& line : lines) text += "\n    " + line;
}

class FilesLoader {
 public:
  explicit FilesLoader(VisModel& model)
      : tensors_(model.named_tensors()),
        composed_(model.named_tensors(NameStyle::kComposed)),
        givers_(tensors_.size()),
        fresh_(tensors_.size()) {
    for (size_t i = 0; i < model.num_stages(); ++i) stages_.push_back(model.stage_name(i));
  }

  void add(const VisModel& model, const WeightFileOptions& options) {
    const WeightRules rules = options.all_rules();
    const WeightFile content = read_weights(options.path, rules.key, KeyUse::kIfTables);
    refuse_unsupported(needed(content.unsupported, rules), options.path);
    const NameStyle style =
        rules.has_composed_names() ? NameStyle::kComposed : NameStyle::kCanonical;
    const auto& names = style == NameStyle::kComposed ? composed_ : tensors_;
    const PartAdapter adapter(model, style);
    const size_t file = files_.size();
    File& taken = files_.emplace_back(File{options.path,
                                           match_weights(names, content.tensors, rules, &adapter),
                                           content.tensors.size()});
    add_surroundings(taken.match.report, content);
    std::map<std::string, size_t> places;
    for (size_t i = 0; i < names.size(); ++i) places.emplace(names[i].name, i);
    for (size_t entry = 0; entry < taken.match.report.loaded.size(); ++entry)
      give(places.at(taken.match.report.loaded[entry]), {file, entry}, options.replace, names);
    for (const std::string& name : taken.match.report.fresh)
      if (auto& by = fresh_.at(places.at(name)); !by) by = file;
  }

  std::vector<FileLoad> take() {
    expect_complete();
    const at::NoGradGuard no_grad;
    for (File& file : files_) file.match.report.loaded.clear(), file.match.report.fresh.clear();
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (givers_[i]) {
        File& file = files_[givers_[i]->file];
        const auto& [ours, theirs] = file.match.copies.at(givers_[i]->entry);
        ours.copy_(theirs);
        file.match.report.loaded.push_back(tensors_[i].name);
      } else {
        files_[*fresh_[i]].match.report.fresh.push_back(tensors_[i].name);
      }
    }
    std::vector<FileLoad> loads;
    for (File& file : files_) loads.push_back({file.path, std::move(file.match.report)});
    return loads;
  }

 private:
  struct File {
    std::string path;
    WeightMatch match;
    size_t count = 0;  // of its tensors
  };
  struct Giver {
    size_t file = 0, entry = 0;  // of WeightMatch::copies
  };

  void give(size_t place, Giver giver, bool replaces, const std::vector<NamedTensor>& names) {
    std::optional<Giver>& present = givers_[place];
    const std::string& name = tensors_[place].name;
    if (present && !replaces) {
      twice_.push_back(name + ": " + files_[present->file].path + " and " +
                       files_[giver.file].path);
      return;
    }
    if (present) {
      // What is wrong with a tensor that nobody takes does not matter.
      auto& different = files_[present->file].match.mistakes.different;
      std::erase_if(different, [&](const std::string& line) {
        return line.starts_with(name + ": ") || line.starts_with(names[place].name + ": ");
      });
      files_[giver.file].match.report.replaced.push_back(name);
    }
    present = giver;
  }

  /// " (stage tracker)" in a model of several stages.
  std::string stage_of(size_t place) const {
    if (stages_.size() == 1) return "";
    const std::string& name = composed_[place].name;
    for (size_t i = 1; i < stages_.size(); ++i)
      if (name.starts_with("stages." + stages_[i] + ".")) return " (stage " + stages_[i] + ")";
    for (const char* part : {"decoder.", "instance_head.", "mask_head."})
      if (name.starts_with(part)) return " (stage " + stages_[0] + ")";
    return "";
  }

  void expect_complete() const {
    std::vector<std::string> missing;
    for (size_t i = 0; i < tensors_.size(); ++i)
      if (!givers_[i] && !fresh_[i])
        missing.push_back(tensors_[i].name + " " + shape_text(tensors_[i].tensor.sizes()) +
                          stage_of(i));
    std::string mistakes;
    add_section(mistakes, "missing (in the model, in no file)", missing);
    add_section(mistakes, "given by two files, and the later one has no replace = true", twice_);
    for (const File& file : files_) {
      const WeightMistakes& own = file.match.mistakes;
      add_section(mistakes, "unexpected in " + file.path + " (not in the model)", own.unexpected);
      add_section(mistakes, "given twice by " + file.path + " after renaming", own.clashing);
      add_section(mistakes, "of another shape or type in " + file.path, own.different);
      if (file.match.report.loaded.empty())
        mistakes += "\n  " + file.path + " gives no tensor of the model (" +
                    std::to_string(file.match.report.outside_prefix.size()) + " of its " +
                    std::to_string(file.count) + " are outside its prefix)";
    }
    if (mistakes.empty()) return;
    throw DataError(
        "weights.files: expected files that together have exactly the model's tensors, got other "
        "ones." +
        mistakes +
        "\n  In the file's [[weights.files]] use prefix and rename where names differ, ignore for "
        "tensors of the file to drop, skip for tensors of the model to initialise afresh, reset "
        "for both at once.");
  }

  std::vector<NamedTensor> tensors_, composed_;  // of the model, in the same order
  std::vector<std::string> stages_;
  std::vector<std::optional<Giver>> givers_;  // of each tensor
  std::vector<std::optional<size_t>> fresh_;  // the file whose rules leave it fresh
  std::vector<File> files_;
  std::vector<std::string> twice_;
};

}  // namespace

std::vector<FileLoad> load_weight_files(VisModel& model,
                                        const std::vector<WeightFileOptions>& files) {
  FilesLoader loader(model);
  for (const WeightFileOptions& file : files) loader.add(model, file);
  return loader.take();
}

}  // namespace tessera
