#include "launcher/inference/result_categories.h"

#include <algorithm>
#include <map>
#include <optional>

#include "core/error.h"
#include "launcher/data/image_folder.h"
#include "launcher/weights/checkpoint_format.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using data::CategoryTable;

bool is_annotation_file(const fs::path& file) {
  std::error_code error;
  return data::lower_ending(file) == ".json" && fs::is_regular_file(file, error);
}

CategoryTable checked(CategoryTable table, const Experiment& experiment, const std::string& where) {
  if (table.size() != experiment.data.num_categories)
    throw ConfigError("data.num_categories: expected the " + std::to_string(table.size()) +
                      " categories of " + where + ", got " +
                      std::to_string(experiment.data.num_categories) + ".");
  return table;
}

/// Whether every category of `part` is one of `whole`, by id and name.
bool is_part(const CategoryTable& part, const CategoryTable& whole) {
  for (size_t i = 0; i < part.ids.size(); ++i) {
    const auto found = std::lower_bound(whole.ids.begin(), whole.ids.end(), part.ids[i]);
    if (found == whole.ids.end() || *found != part.ids[i] ||
        whole.names[found - whole.ids.begin()] != part.names[i])
      return false;
  }
  return true;
}

/// The classes of `table` under the ids that `other` gives their names, in the order of the
/// classes; nothing if a name is not there exactly once.
std::optional<CategoryTable> renumbered(const CategoryTable& table, const CategoryTable& other) {
  std::map<std::string, std::vector<int64_t>> ids_of;
  for (size_t i = 0; i < other.ids.size(); ++i) ids_of[other.names[i]].push_back(other.ids[i]);
  CategoryTable result;
  for (const std::string& name : table.names) {
    const auto found = ids_of.find(name);
    if (found == ids_of.end() || found->second.size() != 1) return std::nullopt;
    result.ids.push_back(found->second.front());
    result.names.push_back(name);
  }
  return result;
}

std::string first_names(const CategoryTable& table) {
  constexpr size_t kMost = 4;
  std::vector<std::string> texts;
  for (size_t i = 0; i < std::min(table.ids.size(), kMost); ++i)
    texts.push_back(std::to_string(table.ids[i]) + " '" + table.names[i] + "'");
  return join(texts) + (table.ids.size() > kMost ? ", ..." : "");
}

CategoryTable of_weights(const CategoryTable& trained, const CategorySources& sources) {
  if (!is_annotation_file(sources.input)) return trained;
  const CategoryTable input = data::read_categories(sources.input);
  if (is_part(input, trained)) return trained;
  if (const auto same = renumbered(trained, input)) return *same;
  throw ConfigError("infer: expected in " + sources.input.string() +
                    " the categories that the weights were trained on (" + first_names(trained) +
                    "), got others (" + first_names(input) +
                    "). Give the annotation file that states the ids of the results as "
                    "--categories FILE.");
}

}  // namespace

CategoryTable result_categories(const Experiment& experiment, const CategorySources& sources) {
  if (!sources.given.empty())
    return checked(data::read_categories(sources.given), experiment, sources.given.string());
  const auto stored = sources.metadata.find(std::string(kCategoriesKey));
  if (stored != sources.metadata.end()) {
    const CategoryTable trained = data::read_category_text(
        stored->second, sources.weights.string() + ": metadata 'categories'");
    return of_weights(checked(trained, experiment, sources.weights.string()), sources);
  }
  if (is_annotation_file(sources.input))
    return checked(data::read_categories(sources.input), experiment, sources.input.string());
  std::vector<std::string> missing;
  for (const std::string& file :
       {experiment.data.validation.annotations, experiment.data.train.annotations}) {
    if (is_annotation_file(file)) return checked(data::read_categories(file), experiment, file);
    if (!file.empty()) missing.push_back(file);
  }
  // Those of a base file say nothing of a data set with another number of categories.
  if (static_cast<int64_t>(experiment.data.categories.size()) == experiment.data.num_categories) {
    std::vector<data::Category> categories;
    for (const CategoryOptions& category : experiment.data.categories)
      categories.push_back({category.id, category.name});
    return data::table_of(std::move(categories));
  }
  throw ConfigError(
      "infer: expected the ids and names of the model's categories, got none: the weights do not "
      "state them" +
      (missing.empty() ? std::string() : ", and there is no file " + join(missing, " or ")) +
      ". Give the annotation file of the data that the model was trained on as --categories FILE.");
}

}  // namespace tessera
