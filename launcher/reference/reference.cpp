#include "launcher/reference/reference.h"

#include <algorithm>

#include "launcher/experiment.h"

namespace tessera {
namespace {

/// A cell of a table: no line breaks, no bars.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string code(const std::string& text) {
  return text.empty() ? "" : "`" + cell(text) + "`";
}

bool is_list(const Field& field) {
  return field.type.starts_with("list");
}

bool is_named_tables(const Field& field) {
  return field.type == "tables by name";
}

/// What stands between the key of a nested table and the keys in it.
const char* joint(const Field& field) {
  return is_list(field) ? "[]." : is_named_tables(field) ? ".<name>." : ".";
}

/// A table with one entry in every list of tables.
ConfigNode one_entry_each(const SchemaBase& schema) {
  ConfigNode table;
  for (const Field& field : schema.fields()) {
    if (!field.nested) continue;
    ConfigNode child = one_entry_each(*field.nested());
    if (is_list(field)) child = ConfigNode(ConfigNode::Array{std::move(child)});
    if (is_named_tables(field)) {
      ConfigNode tables;
      tables.set("<name>", std::move(child));
      child = std::move(tables);
    }
    table.set(field.name, std::move(child));
  }
  return table;
}

/// The defaults that `object` was made with, those of its lists' entries included.
ConfigNode defaults_of(const SchemaBase& schema, void* object) {
  ReadContext context;  // what is required is missing here, which is no error of anybody's
  schema.read(object, one_entry_each(schema), "", context);
  return schema.write(object);
}

/// The defaults of a field's own keys.
ConfigNode inner_defaults(const ConfigNode* value) {
  if (value && value->is_array() && !value->array().empty()) value = &value->array().front();
  if (const ConfigNode* entry = value ? value->find("<name>") : nullptr) value = entry;
  return value && value->is_table() ? *value : ConfigNode();
}

void add_row(const std::string& key, const std::string& type, const std::string& fallback,
             const std::string& doc, std::string& out) {
  out += "| `" + key + "` | " + cell(type) + " | " + fallback + " | " + cell(doc) + " |\n";
}

std::string type_of(const Field& field) {
  return field.range.empty() ? field.type : field.type + ", " + field.range;
}

/// The key that chooses a kind, and what the kinds are.
void add_kinds(const KindField& choice, const std::string& prefix, std::string& out) {
  std::vector<std::string> names, docs;
  for (const KindSchema& kind : choice.kinds) {
    names.push_back('"' + kind.name + '"');
    docs.push_back("`" + kind.name + "`: " + kind.doc);
  }
  add_row(prefix + choice.key, "string, one of " + join(names), code(names.at(0)),
          choice.doc + " " + join(docs, " "), out);
}

/// The options that only some kinds have, once for all kinds that have the same.
void add_options_of_kinds(const KindField& choice, const std::string& prefix, std::string& out) {
  struct Row {
    const Field* field;
    std::string fallback;
    std::vector<std::string> kinds;
  };
  std::vector<Row> rows;
  for (const KindSchema& kind : choice.kinds) {
    const ConfigNode defaults = kind.schema->write(kind.make(nullptr).get());
    for (const Field& field : kind.schema->fields()) {
      const ConfigNode* value = defaults.find(field.name);
      const std::string fallback = field.required ? "required"
                                   : value        ? code(to_toml_value(*value))
                                                  : "";
      const auto same = std::find_if(rows.begin(), rows.end(), [&](const Row& row) {
        return row.field->name == field.name && row.field->doc == field.doc &&
               row.fallback == fallback && type_of(*row.field) == type_of(field);
      });
      if (same != rows.end())
        same->kinds.push_back("`" + kind.name + "`");
      else
        rows.push_back({&field, fallback, {"`" + kind.name + "`"}});
    }
  }
  for (const Row& row : rows)
    add_row(prefix + row.field->name, type_of(*row.field), row.fallback,
            "Only " + join(row.kinds) + ": " + row.field->doc, out);
}

void add_keys(const SchemaBase& schema, const ConfigNode& defaults, const std::string& prefix,
              std::string& out) {
  if (schema.kind_field()) add_kinds(*schema.kind_field(), prefix, out);
  for (const Field& field : schema.fields()) {
    const ConfigNode* value = defaults.find(field.name);
    const std::string key = prefix + field.name;
    std::string fallback;
    if (field.required)
      fallback = "required";
    else if (field.nested)
      fallback = is_list(field) ? code("[]") : "";
    else if (value)
      fallback = code(to_toml_value(*value));
    add_row(key, type_of(field), fallback, field.doc, out);
    if (!field.nested) continue;
    add_keys(*field.nested(), inner_defaults(value), key + joint(field), out);
  }
  if (schema.kind_field()) add_options_of_kinds(*schema.kind_field(), prefix, out);
}

constexpr const char* kHead = "| key | type | default | meaning |\n|---|---|---|---|\n";

std::string generated_by(const std::string& command) {
  return "<!-- Written by `" + command +
         "`; a test compares them. Change the schema in the source, then run it again. -->\n\n";
}

}  // namespace

std::string markdown_table(const SchemaBase& schema, const ConfigNode& defaults) {
  if (schema.fields().empty() && !schema.kind_field()) return "No options.\n";
  std::string out = kHead;
  add_keys(schema, defaults, "", out);
  return out;
}

std::string plugin_markdown(const PluginDescriptor& plugin) {
  const auto options = plugin.make_options();
  return "### " + std::string(plugin.kind) + " `" + plugin.name + "`\n\n" + plugin.summary +
         ".\n\n" + markdown_table(plugin.schema(), defaults_of(plugin.schema(), options.get())) +
         "\n";
}

std::string plugins_reference(const std::vector<RegisteredPlugin>& plugins) {
  std::string out =
      generated_by("tessera plugins describe --markdown > docs/reference/plugins.md") +
      "# Plugins\n\nEvery plugin that comes with Tessera, by kind, with its options. A key of type "
      "`plugin(kind)` holds a table `{ plugin = \"<name>\", ... }` of such a plugin's options.\n\n";
  std::string kind;
  for (const RegisteredPlugin& plugin : plugins) {
    if (kind != plugin.descriptor->kind) {
      kind = plugin.descriptor->kind;
      out += "## " + kind + "\n\n";
    }
    out += plugin_markdown(*plugin.descriptor);
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

std::string configuration_reference() {
  Experiment experiment{};
  const SchemaBase& schema = schema_of<Experiment>();
  const ConfigNode defaults = defaults_of(schema, &experiment);
  std::string out =
      generated_by("tessera config reference > docs/reference/configuration.md") +
      "# The keys of an experiment\n\nOne section a table of the TOML file. Keys of type "
      "`plugin(kind)` take the options of the plugin that they name: [plugins.md](plugins.md). "
      "What the sections are for: [experiments.md](../experiments.md).\n\n";
  for (const Field& field : schema.fields()) {
    const ConfigNode* value = defaults.find(field.name);
    if (!field.nested) {
      out += "## `" + field.name + "`\n\n" + cell(field.doc) + " Type: " + field.type + ".\n\n";
      continue;
    }
    out += "## `" + std::string(is_list(field) ? "[[" : "[") + field.name +
           (is_list(field) ? "]]" : "]") + "`\n\n" + cell(field.doc) +
           (field.required ? " Required." : "") + "\n\n" +
           markdown_table(*field.nested(), inner_defaults(value)) + "\n";
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

}  // namespace tessera
