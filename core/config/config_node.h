#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/export.h"

namespace tessera {

/// Where a value was written. `file` is "--set" or "default" for values that no file holds.
struct Source {
  std::string file = "default";
  int line = 0;
  int column = 0;

  /// "file:line:column", or only the file where there is no line.
  TESSERA_API std::string text() const;
};

/// One value of an experiment: a scalar, an array or a table, with the place it came from.
class TESSERA_API ConfigNode {
 public:
  using Array = std::vector<ConfigNode>;
  using Table = std::vector<std::pair<std::string, ConfigNode>>;  // in the order of the file
  using Value = std::variant<bool, int64_t, double, std::string, Array, Table>;

  ConfigNode() : value(Table{}) {}
  explicit ConfigNode(Value v, Source s = {}) : value(std::move(v)), source(std::move(s)) {}

  bool is_table() const { return std::holds_alternative<Table>(value); }
  bool is_array() const { return std::holds_alternative<Array>(value); }
  Table& table() { return std::get<Table>(value); }
  const Table& table() const { return std::get<Table>(value); }
  Array& array() { return std::get<Array>(value); }
  const Array& array() const { return std::get<Array>(value); }

  /// The child of that key, or nullptr where there is none or this is no table.
  const ConfigNode* find(std::string_view key) const;
  ConfigNode* find(std::string_view key);
  /// The child of a dotted path such as "model.encoder.num_layers", or nullptr.
  const ConfigNode* find_path(std::string_view path) const;
  /// Sets the child, keeping its place where the key is there already.
  void set(std::string_view key, ConfigNode child);
  /// "an integer (3)", "a table": how an error names what it found.
  std::string description() const;

  bool operator==(const ConfigNode& other) const { return value == other.value; }

  Value value;
  Source source;
  /// Comes from a file below one that gives the same table another `kind`: merge_config() sets it.
  bool beside_other_kind = false;
};

/// The value as TOML text on one line (tables inline).
TESSERA_API std::string to_toml_value(const ConfigNode& node);
/// The table as a TOML document: scalars first, then sub-tables with headers.
TESSERA_API std::string to_toml(const ConfigNode& table);

}  // namespace tessera
