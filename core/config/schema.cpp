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

void SchemaBase::read(void* object, const ConfigNode& node, const std::string& path,
                      ReadContext& context, const std::vector<std::string>& also_known) const {
  const std::string prefix = path.empty() ? "" : path + ".";
  std::vector<std::string> known = also_known;
  for (const auto& field : fields_) known.push_back(field.name);
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
  for (const auto& field : fields_)
    if (auto value = field.write(object)) table.set(field.name, std::move(*value));
  return table;
}

namespace config_detail {

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
