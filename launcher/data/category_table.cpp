#include "launcher/data/category_table.h"

#include <algorithm>
#include <set>

#include "launcher/data/json_reader.h"

namespace tessera::data {
namespace {

/// A list of tables with `id` and `name`.
std::vector<Category> read_list(const Json& list) {
  std::vector<Category> categories;
  std::set<int64_t> ids;
  for (const Json& value : as_list(list, "'categories'")) {
    const auto position = std::to_string(categories.size());
    categories.push_back(at_place([&] { return "categories[" + position + "]"; },
                                  [&] {
                                    as_object(value, "a category");
                                    return Category{as_integer(value_of(value, "id"), "'id'"),
                                                    as_text(value_of(value, "name"), "'name'")};
                                  }));
    if (!ids.insert(categories.back().id).second)
      throw DataError("categories[" + position + "]: expected an id of its own, got " +
                      std::to_string(categories.back().id) + " a second time.");
  }
  return categories;
}

}  // namespace

CategoryTable table_of(std::vector<Category> categories) {
  std::sort(categories.begin(), categories.end(),
            [](const Category& a, const Category& b) { return a.id < b.id; });
  CategoryTable table;
  for (Category& category : categories) {
    table.ids.push_back(category.id);
    table.names.push_back(std::move(category.name));
  }
  return table;
}

std::string json_text(const CategoryTable& table) {
  auto list = nlohmann::ordered_json::array();
  for (size_t i = 0; i < table.ids.size(); ++i)
    list.push_back({{"id", table.ids[i]}, {"name", table.names[i]}});
  return list.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

CategoryTable read_category_text(const std::string& text, const std::string& where) {
  return at_place([&] { return where; },
                  [&] {
                    const Json list = Json::parse(text, nullptr, /*allow_exceptions=*/false);
                    if (list.is_discarded())
                      throw DataError("expected a JSON list of categories, got other text.");
                    return table_of(read_list(list));
                  });
}

CategoryTable read_categories(const std::filesystem::path& file) {
  // Everything else in the file, which may be large, is dropped as it is read.
  std::string section;
  const Json root = parse_json_file(
      file,
      [&](int depth, Json::parse_event_t event, Json& value) {
        if (event == Json::parse_event_t::key && depth == 1) section = value.get<std::string>();
        return depth == 0 || section == "categories";
      },
      [&] { return section.empty() ? std::string("the file") : "'" + section + "'"; });
  return at_place([&] { return file.string(); },
                  [&] {
                    as_object(root, "the file");
                    return table_of(read_list(value_of(root, "categories")));
                  });
}

}  // namespace tessera::data
