#pragma once
// How each member type of an options struct is read and written. Included by schema.h only.

namespace tessera::config_detail {

struct PlainField {
  static std::string plugin_kind() { return ""; }
  static std::function<const SchemaBase*()> nested() { return {}; }
};

/// "an integer", "a string".
inline std::string with_article(const std::string& name) {
  const bool vowel = std::string_view("aeiou").find(name.at(0)) != std::string_view::npos;
  return (vowel ? "an " : "a ") + name;
}

inline void expected(const ConfigNode& node, const std::string& path, const std::string& what,
                     ReadContext& context) {
  context.error(node.source, path, "expected " + what + ", got " + node.description());
}

template <class T>
struct FieldType<T, std::enable_if_t<scalar_type_name<T>() != nullptr>> : PlainField {
  static std::string name() { return scalar_type_name<T>(); }
  static void read(T& out, const ConfigNode& node, const std::string& path, ReadContext& context) {
    if (!read_scalar(node, out)) expected(node, path, with_article(name()), context);
  }
  static void read_absent(T&, const std::string&, ReadContext&) {}
  static std::optional<ConfigNode> write(const T& value) {
    return ConfigNode(ConfigNode::Value(value));
  }
};

template <class T>
struct FieldType<std::optional<T>> : FieldType<T> {
  static std::string name() { return "optional " + FieldType<T>::name(); }
  static void read(std::optional<T>& out, const ConfigNode& node, const std::string& path,
                   ReadContext& context) {
    T value{};
    FieldType<T>::read(value, node, path, context);
    out = std::move(value);
  }
  static void read_absent(std::optional<T>&, const std::string&, ReadContext&) {}
  static std::optional<ConfigNode> write(const std::optional<T>& value) {
    if (!value) return std::nullopt;
    return FieldType<T>::write(*value);
  }
};

template <class T>
struct FieldType<std::vector<T>> : FieldType<T> {
  static std::string name() { return "list of " + FieldType<T>::name(); }
  static void read(std::vector<T>& out, const ConfigNode& node, const std::string& path,
                   ReadContext& context) {
    // A single plugin stands for a list of one, so that the common case stays one line.
    if (!FieldType<T>::plugin_kind().empty() && !node.is_array()) {
      out.resize(1);
      FieldType<T>::read(out[0], node, path, context);
      return;
    }
    if (!node.is_array()) return expected(node, path, with_article(name()), context);
    out.clear();
    for (size_t i = 0; i < node.array().size(); ++i) {
      T value{};
      FieldType<T>::read(value, node.array()[i], path + "[" + std::to_string(i) + "]", context);
      out.push_back(std::move(value));
    }
  }
  static void read_absent(std::vector<T>& out, const std::string& path, ReadContext& context) {
    for (auto& value : out) FieldType<T>::read_absent(value, path, context);
  }
  static std::optional<ConfigNode> write(const std::vector<T>& values) {
    ConfigNode::Array array;
    for (const T& v : values) array.push_back(*FieldType<T>::write(v));
    return ConfigNode(ConfigNode::Value(std::move(array)));
  }
};

template <class Kind>
struct FieldType<PluginOf<Kind>> {
  static std::string plugin_kind() { return Kind::kKind; }
  static std::string name() { return std::string("plugin(") + Kind::kKind + ")"; }
  static std::function<const SchemaBase*()> nested() { return {}; }
  static void read(PluginOf<Kind>& out, const ConfigNode& node, const std::string& path,
                   ReadContext& context) {
    read_plugin(out, Kind::kKind, node, path, context);
  }
  static void read_absent(PluginOf<Kind>& out, const std::string& path, ReadContext& context) {
    if (!out.name.empty()) read_plugin(out, Kind::kKind, ConfigNode(), path, context);
  }
  static std::optional<ConfigNode> write(const PluginOf<Kind>& value) {
    if (value.name.empty()) return std::nullopt;
    return write_plugin(value);
  }
};

template <class Kind>
struct FieldType<PluginMapOf<Kind>> {
  static std::string plugin_kind() { return Kind::kKind; }
  static std::string name() { return std::string("table of plugin(") + Kind::kKind + ")"; }
  static std::function<const SchemaBase*()> nested() { return {}; }
  static void read(PluginMapOf<Kind>& out, const ConfigNode& node, const std::string& path,
                   ReadContext& context) {
    if (!node.is_table()) return expected(node, path, "a table of plugins", context);
    out.clear();
    for (const auto& [key, child] : node.table()) {
      out.emplace_back(key, PluginOf<Kind>{});
      read_plugin(out.back().second, Kind::kKind, child, path + "." + key, context);
    }
  }
  static void read_absent(PluginMapOf<Kind>&, const std::string&, ReadContext&) {}
  static std::optional<ConfigNode> write(const PluginMapOf<Kind>& value) {
    ConfigNode table;
    for (const auto& [key, choice] : value) table.set(key, write_plugin(choice));
    return table;
  }
};

/// Tables of one struct, each under a name of the user's choice.
template <class T>
struct FieldType<TableOf<T>> {
  static std::string plugin_kind() { return ""; }
  static std::string name() { return "tables by name"; }
  static std::function<const SchemaBase*()> nested() { return FieldType<T>::nested(); }
  static void read(TableOf<T>& out, const ConfigNode& node, const std::string& path,
                   ReadContext& context) {
    if (!node.is_table()) return expected(node, path, "a table of tables", context);
    out.clear();
    for (const auto& [key, child] : node.table()) {
      out.emplace_back(key, T{});
      FieldType<T>::read(out.back().second, child, path + "." + key, context);
    }
  }
  static void read_absent(TableOf<T>&, const std::string&, ReadContext&) {}
  static std::optional<ConfigNode> write(const TableOf<T>& value) {
    if (value.empty()) return std::nullopt;
    ConfigNode table;
    for (const auto& [key, entry] : value) table.set(key, *FieldType<T>::write(entry));
    return table;
  }
};

/// A nested struct with its own describe().
template <class T>
struct FieldType<T, std::void_t<decltype(&T::describe)>> {
  static std::string plugin_kind() { return ""; }
  static std::string name() { return "table"; }
  static std::function<const SchemaBase*()> nested() {
    return [] { return static_cast<const SchemaBase*>(&schema_of<T>()); };
  }
  static void read(T& out, const ConfigNode& node, const std::string& path, ReadContext& context) {
    if (!node.is_table()) return expected(node, path, "a table", context);
    read_table(out, node, path, context);
  }
  static void read_absent(T& out, const std::string& path, ReadContext& context) {
    read_table(out, ConfigNode(), path, context);
  }
  static std::optional<ConfigNode> write(const T& value) {
    ConfigNode table = schema_of<T>().write(&value);
    if constexpr (is_plugin_entry<T>()) write_plugin_entry(table, value);
    return table;
  }

 private:
  static void read_table(T& out, const ConfigNode& node, const std::string& path,
                         ReadContext& context) {
    if constexpr (is_plugin_entry<T>()) {
      std::vector<std::string> keys;  // the plugin judges those that are not the entry's own
      for (const auto& entry : node.table()) keys.push_back(entry.first);
      schema_of<T>().read(&out, node, path, context, keys);
      read_plugin_entry(out, T::kPluginKind, schema_of<T>(), node, path, context);
    } else {
      schema_of<T>().read(&out, node, path, context);
    }
  }
};

}  // namespace tessera::config_detail
