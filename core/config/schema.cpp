#include "core/config/schema.h"

#include <algorithm>

#include "core/plugin/descriptor.h"

namespace tessera {

void ReadContext::error(const Source& source, const std::string& path, const std::string& message) {
  only_plugin_errors_ = false;
  messages_.push_back(source.text() + ": " + path + ": " + message +
                      (message.ends_with('.') ? "" : "."));
}

void ReadContext::plugin_error(const Source& source, const std::string& path,
                               const std::string& message) {
  messages_.push_back(source.text() + ": " + path + ": " + message);
}

void ReadContext::throw_if_failed() const {
  if (messages_.empty()) return;
  const std::string text = join(messages_, "\n");
  if (only_plugin_errors_) throw PluginError(text);
  throw ConfigError(text);
}

namespace {

/// The kinds that have an option of that name, without the kind `except`.
std::vector<size_t> kinds_with(const KindField& field, const std::string& option, size_t except) {
  std::vector<size_t> found;
  for (size_t i = 0; i < field.kinds.size(); ++i)
    for (const Field& own : field.kinds[i].schema->fields())
      if (i != except && own.name == option) found.push_back(i);
  return found;
}

/// Whether the value is what a kind has where the file is silent.
bool is_default(const KindSchema& kind, const std::string& option, const ConfigNode& value) {
  const auto fresh = kind.make(nullptr);
  const ConfigNode before = kind.schema->write(fresh.get());
  ReadContext ignored;
  for (const Field& field : kind.schema->fields())
    if (field.name == option) field.read(fresh.get(), value, option, ignored);
  return !ignored.failed() && kind.schema->write(fresh.get()) == before;
}

/// in: `prefix` of the table's keys, the names of the kinds that have the option, quoted.
std::string option_of_another_kind(const std::string& prefix, const std::string& key,
                                   const std::string& chosen,
                                   const std::vector<std::string>& others) {
  return "expected an option of " + key + " = \"" + chosen + "\", got one of " + key + " = " +
         join(others, " or ") + ". Remove it, or change " + prefix + key;
}

}  // namespace

void SchemaBase::read_kind(void* object, const ConfigNode& node, const std::string& path,
                           ReadContext& context, std::vector<std::string>& known) const {
  const KindField& field = *kind_field_;
  const std::string prefix = path.empty() ? "" : path + ".";
  std::vector<std::string> names;
  for (const KindSchema& kind : field.kinds) names.push_back(kind.name);
  known.push_back(field.key);
  size_t chosen = field.chosen(object);
  const void* from = field.options(object);
  if (const ConfigNode* key = node.find(field.key)) {
    const auto* text = std::get_if<std::string>(&key->value);
    const auto found = text ? std::find(names.begin(), names.end(), *text) : names.end();
    if (found == names.end()) {
      std::vector<std::string> quoted;
      for (const std::string& name : names) quoted.push_back('"' + name + '"');
      context.error(key->source, prefix + field.key,
                    "expected one of " + join(quoted) + ", got " +
                        (text ? to_toml_value(*key) : key->description()) + "." +
                        (text ? suggestion(*text, names) : ""));
      for (const auto& [option, value] : node.table())
        if (!kinds_with(field, option, field.kinds.size()).empty()) known.push_back(option);
      return;
    }
    const auto index = static_cast<size_t>(found - names.begin());
    if (index != chosen) from = nullptr;
    chosen = index;
  }
  const KindSchema& kind = field.kinds[chosen];
  for (const Field& own : kind.schema->fields()) known.push_back(own.name);
  for (const auto& [option, value] : node.table()) {
    if (std::find(known.begin(), known.end(), option) != known.end()) continue;
    std::vector<std::string> others;
    bool harmless = false;
    for (const size_t other : kinds_with(field, option, chosen)) {
      others.push_back('"' + field.kinds[other].name + '"');
      // Version 0.1 wrote the options of all kinds into resolved.toml.
      harmless = harmless || is_default(field.kinds[other], option, value);
    }
    if (others.empty()) continue;  // an unknown key, reported by the caller
    known.push_back(option);
    if (!harmless)
      context.error(value.source, prefix + option,
                    option_of_another_kind(prefix, field.key, kind.name, others));
  }
  const auto options = kind.make(from);
  std::vector<std::string> keys;
  for (const auto& entry : node.table()) keys.push_back(entry.first);
  kind.schema->read(options.get(), node, path, context, keys);
  field.choose(object, chosen, options);
}

void SchemaBase::read(void* object, const ConfigNode& node, const std::string& path,
                      ReadContext& context, const std::vector<std::string>& also_known) const {
  const std::string prefix = path.empty() ? "" : path + ".";
  std::vector<std::string> known = also_known;
  for (const auto& field : fields_) known.push_back(field.name);
  if (kind_field_) read_kind(object, node, path, context, known);
  for (const auto& [key, child] : node.table())
    if (std::find(known.begin(), known.end(), key) == known.end())
      context.error(child.source, prefix + key,
                    "expected a known key, got '" + key + "'." + suggestion(key, known));
  const size_t errors_before = context.error_count();
  for (const auto& field : fields_) {
    if (const ConfigNode* child = node.find(field.name)) {
      field.read(object, *child, prefix + field.name, context);
    } else {
      if (field.required)
        context.error(node.source, prefix + field.name,
                      "expected a value (" + field.type + ": " + field.doc + "), got none");
      field.read_absent(object, prefix + field.name, context);
    }
  }
  if (validate_ && context.error_count() == errors_before) {
    try {
      validate_(object);
    } catch (const ConfigError& error) {
      context.error(node.source, path.empty() ? "experiment" : path, error.what());
    }
  }
}

ConfigNode SchemaBase::write(const void* object) const {
  ConfigNode table;
  if (kind_field_)
    table.set(kind_field_->key,
              ConfigNode(ConfigNode::Value(kind_field_->kinds[kind_field_->chosen(object)].name)));
  for (const auto& field : fields_)
    if (auto value = field.write(object)) table.set(field.name, std::move(*value));
  if (kind_field_) {
    const KindSchema& kind = kind_field_->kinds[kind_field_->chosen(object)];
    const ConfigNode own = kind.schema->write(kind_field_->options(object));
    for (const auto& [key, child] : own.table()) table.set(key, child);
  }
  return table;
}

std::vector<const PluginDescriptor*> PluginLookup::opened(const std::string&) const {
  return {};
}

namespace config_detail {
namespace {

bool has_field(const SchemaBase& schema, const std::string& name) {
  return std::any_of(schema.fields().begin(), schema.fields().end(),
                     [&](const Field& field) { return field.name == name; });
}

/// Whether the value is what the plugin has where the file is silent. Files that state the defaults
/// of all plugins of a kind (resolved.toml of version 0.1) mean nothing by it.
bool is_default_of(const PluginDescriptor& plugin, const std::string& key,
                   const ConfigNode& value) {
  for (const Field& field : plugin.schema().fields())
    if (field.name == key && field.required) return false;
  const auto options = plugin.make_options();
  const ConfigNode defaults = plugin.schema().write(options.get());
  const ConfigNode* known = defaults.find(key);
  return known && *known == value;
}

/// Reports an option that only other plugins of the kind have, by their names. out: false: no
/// plugin is known to have it.
bool report_option_of_another(const PluginChoice& choice, const char* kind, const std::string& key,
                              const ConfigNode& value, const std::string& path,
                              ReadContext& context) {
  std::vector<std::string> owners;
  bool says_nothing = value.beside_other_kind;
  for (const PluginDescriptor* plugin : context.plugins()->opened(kind)) {
    if (!has_field(plugin->schema(), key)) continue;
    owners.push_back(std::string("\"") + plugin->name + "\"");
    says_nothing = says_nothing || is_default_of(*plugin, key, value);
  }
  if (owners.empty()) return false;
  if (!says_nothing)
    context.error(value.source, path + "." + key,
                  option_of_another_kind(path + ".", "kind", choice.name, owners));
  return true;
}

}  // namespace

void read_plugin_entry(PluginChoice& choice, const char* kind, const SchemaBase& own,
                       const ConfigNode& node, const std::string& path, ReadContext& context) {
  choice.source = node.source;
  if (const ConfigNode* name = node.find("kind")) {
    if (!std::holds_alternative<std::string>(name->value)) return;  // reported by `own`
    choice.source = name->source;
  }
  if (choice.name.empty()) return;  // reported by `own`
  if (!context.plugins())
    return context.error(node.source, path, "expected a plugin registry to read plugins with");
  try {
    choice.descriptor = &context.plugins()->find(kind, choice.name);
  } catch (const PluginError& error) {
    return context.plugin_error(choice.source, path + ".kind", error.what());
  }
  std::vector<std::string> known;
  for (const Field& field : own.fields()) known.push_back(field.name);
  for (const auto& [key, value] : node.table())
    if (!has_field(own, key) && !has_field(choice.descriptor->schema(), key) &&
        report_option_of_another(choice, kind, key, value, path, context))
      known.push_back(key);
  choice.options = choice.descriptor->make_options();
  choice.descriptor->schema().read(choice.options.get(), node, path, context, known);
}

void write_plugin_entry(ConfigNode& table, const PluginChoice& choice) {
  if (!choice.descriptor) return;
  const ConfigNode options = choice.descriptor->schema().write(choice.options.get());
  for (const auto& [key, child] : options.table()) table.set(key, child);
}

bool read_scalar(const ConfigNode& node, bool& out) {
  auto* v = std::get_if<bool>(&node.value);
  if (v) out = *v;
  return v != nullptr;
}

bool read_scalar(const ConfigNode& node, int64_t& out) {
  auto* v = std::get_if<int64_t>(&node.value);
  if (v) out = *v;
  return v != nullptr;
}

bool read_scalar(const ConfigNode& node, double& out) {
  if (auto* integer = std::get_if<int64_t>(&node.value)) {
    out = static_cast<double>(*integer);
    return true;
  }
  auto* v = std::get_if<double>(&node.value);
  if (v) out = *v;
  return v != nullptr;
}

bool read_scalar(const ConfigNode& node, std::string& out) {
  auto* v = std::get_if<std::string>(&node.value);
  if (v) out = *v;
  return v != nullptr;
}

void read_plugin(PluginChoice& choice, const char* kind, const ConfigNode& node,
                 const std::string& path, ReadContext& context) {
  // `attention = "dense"` is short for `attention = { plugin = "dense" }`.
  ConfigNode table = node;
  if (std::holds_alternative<std::string>(node.value)) {
    table = ConfigNode(ConfigNode::Value(ConfigNode::Table{}), node.source);
    table.set("plugin", node);
  }
  if (!table.is_table())
    return context.error(node.source, path,
                         std::string("expected a table with plugin = \"<") + kind +
                             " name>\", got " + node.description());
  choice.source = table.source;
  if (const ConfigNode* name = table.find("plugin")) {
    if (!read_scalar(*name, choice.name))
      return context.error(name->source, path + ".plugin",
                           "expected a string, got " + name->description());
    choice.source = name->source;
  }
  if (choice.name.empty())
    return context.error(
        table.source, path + ".plugin",
        "expected the name of " + config_detail::with_article(kind) + " plugin, got none");
  if (!context.plugins())
    return context.error(table.source, path, "expected a plugin registry to read plugins with");
  try {
    choice.descriptor = &context.plugins()->find(kind, choice.name);
  } catch (const PluginError& error) {
    return context.plugin_error(choice.source, path + ".plugin", error.what());
  }
  choice.options = choice.descriptor->make_options();
  choice.descriptor->schema().read(choice.options.get(), table, path, context, {"plugin"});
}

ConfigNode write_plugin(const PluginChoice& choice) {
  ConfigNode table;
  table.set("plugin", ConfigNode(ConfigNode::Value(choice.name)));
  if (choice.descriptor) {
    const ConfigNode options = choice.descriptor->schema().write(choice.options.get());
    for (const auto& [key, child] : options.table()) table.set(key, child);
  }
  return table;
}

}  // namespace config_detail
}  // namespace tessera
