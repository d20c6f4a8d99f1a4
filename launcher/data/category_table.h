#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/data/ytvis.h"

namespace tessera::data {

/// A model's classes by index: the id and name that results and overlays give each, ids ascending.
struct CategoryTable {
  std::vector<int64_t> ids;
  std::vector<std::string> names;

  int64_t size() const { return static_cast<int64_t>(ids.size()); }
  bool operator==(const CategoryTable&) const = default;
};

/// The categories in ascending order of their ids.
CategoryTable table_of(std::vector<Category> categories);

/// `[{"id": 1, "name": "person"}, ...]`, as weights carry it in their metadata.
std::string json_text(const CategoryTable& table);

/// Undoes json_text(). `where` begins the message of a DataError for anything else.
CategoryTable read_category_text(const std::string& text, const std::string& where);

/// The "categories" of a JSON file (YouTube-VIS, OVIS or COCO annotations, or nothing else in it).
/// Throws DataError.
CategoryTable read_categories(const std::filesystem::path& file);

}  // namespace tessera::data
