#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "core/config/config_node.h"
#include "core/error.h"

namespace tessera {

struct PluginDescriptor;
class SchemaBase;

/// A plugin that a configuration chose: its descriptor and its checked options.
/// The default constructor with a name states the plugin that is meant where the file is silent.
struct PluginChoice {
  std::string name;
  const PluginDescriptor* descriptor = nullptr;
  std::shared_ptr<void> options;
  Source source;
};

/// A field of this type holds a sub-table `{ plugin = "<name>", ... }` of that kind.
template <class Kind>
struct PluginOf : PluginChoice {
  PluginOf() = default;
  PluginOf(const char* default_name) { name = default_name; }  // NOLINT: reads as the default
};

/// A sub-table whose every key names a plugin of that kind (loss terms, matching costs).
template <class Kind>
using PluginMapOf = std::vector<std::pair<std::string, PluginOf<Kind>>>;

/// A field of this type holds tables with the keys of T, each under a name of the user's choice:
/// `[train.schedules.<name>]`.
template <class T>
using TableOf = std::vector<std::pair<std::string, T>>;

/// Finds the descriptor of a plugin by kind and name; implemented by the registry.
class TESSERA_API PluginLookup {
 public:
  virtual ~PluginLookup() = default;
  /// Throws PluginError that lists the known names and the nearest one.
  virtual const PluginDescriptor& find(const std::string& kind, const std::string& name) = 0;
  /// The plugins of that kind that need no library, or whose library is open already.
  virtual std::vector<const PluginDescriptor*> opened(const std::string& kind) const;
};

/// Collects every mistake of a configuration, so that a user sees all of them at once.
class TESSERA_API ReadContext {
 public:
  explicit ReadContext(PluginLookup* plugins = nullptr) : plugins_(plugins) {}

  void error(const Source& source, const std::string& path, const std::string& message);
  /// Keeps the exit code of a missing plugin apart from that of a wrong key.
  void plugin_error(const Source& source, const std::string& path, const std::string& message);
  bool failed() const { return !messages_.empty(); }
  size_t error_count() const { return messages_.size(); }
  /// Throws ConfigError (or PluginError where only plugins are missing) with all messages.
  void throw_if_failed() const;
  PluginLookup* plugins() const { return plugins_; }

 private:
  PluginLookup* plugins_;
  std::vector<std::string> messages_;
  bool only_plugin_errors_ = true;
};

/// One documented, typed, bound field of an options struct.
struct Field {
  std::string name;
  std::string type;  // "integer", "list of strings", "plugin(attention)", ...
  std::string doc;
  std::string plugin_kind;  // "" unless the field holds plugins
  std::string range;        // "one of a, b", ">= 1", or ""
  bool required = false;
  std::function<const SchemaBase*()> nested;  // the schema of a nested struct, or empty
  std::function<void(void* object, const ConfigNode& node, const std::string& path,
                     ReadContext& context)>
      read;
  std::function<void(void* object, const std::string& path, ReadContext& context)> read_absent;
  std::function<std::optional<ConfigNode>(const void* object)> write;
};

/// One of the kinds that a table chooses among, with the options that it alone has; see kinds.h.
struct KindSchema {
  std::string name, doc;
  const SchemaBase* schema = nullptr;
  /// Options like those at `from`, or the defaults where that is null.
  std::function<std::shared_ptr<void>(const void* from)> make;
};

/// The key of a table that names its kind, as `kind = "cosine"`.
struct KindField {
  std::string key, doc;
  std::vector<KindSchema> kinds;  // the default first
  std::function<size_t(const void* object)> chosen;
  std::function<const void*(const void* object)> options;  // of the kind that is chosen
  std::function<void(void* object, size_t kind, std::shared_ptr<void> options)> choose;
};

/// The fields of one options struct, type-erased. The one table that feeds the TOML check,
/// `plugins describe`, the reference documents and `resolved.toml`.
class TESSERA_API SchemaBase {
 public:
  const std::vector<Field>& fields() const { return fields_; }
  /// The key that chooses among kinds with options of their own, or nullptr.
  const KindField* kind_field() const { return kind_field_ ? &*kind_field_ : nullptr; }
  /// Reads `node` (a table) into `object`; unknown keys, wrong types and ranges go to `context`.
  void read(void* object, const ConfigNode& node, const std::string& path, ReadContext& context,
            const std::vector<std::string>& also_known = {}) const;
  /// The values of `object` as a table, defaults included.
  ConfigNode write(const void* object) const;
  /// The part of `object`, an Options of this schema, that is a `Base`: for whoever knows the base
  /// alone. Null unless describe() called Schema::base(). Good as long as `object` is.
  template <class Base>
  const Base* view(const void* object) const {
    for (const auto& [type, upcast] : bases_)
      if (*type == typeid(Base)) return static_cast<const Base*>(upcast(object));
    return nullptr;
  }

 protected:
  std::vector<Field> fields_;
  std::vector<std::pair<const std::type_info*, const void* (*)(const void*)>> bases_;
  std::optional<KindField> kind_field_;
  std::function<void(const void*)> validate_;

 private:
  void read_kind(void* object, const ConfigNode& node, const std::string& path,
                 ReadContext& context, std::vector<std::string>& known) const;
};

template <class Base>
class KindOf;  // kinds.h

namespace config_detail {

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

TESSERA_API bool read_scalar(const ConfigNode& node, bool& out);
TESSERA_API bool read_scalar(const ConfigNode& node, int64_t& out);
TESSERA_API bool read_scalar(const ConfigNode& node, double& out);
TESSERA_API bool read_scalar(const ConfigNode& node, std::string& out);
TESSERA_API void read_plugin(PluginChoice& choice, const char* kind, const ConfigNode& node,
                             const std::string& path, ReadContext& context);
TESSERA_API ConfigNode write_plugin(const PluginChoice& choice);
/// What a plugin entry's own schema has read already is completed by the plugin and its options.
TESSERA_API void read_plugin_entry(PluginChoice& choice, const char* kind, const SchemaBase& own,
                                   const ConfigNode& node, const std::string& path,
                                   ReadContext& context);
/// Adds the plugin's options to the entry's own keys.
TESSERA_API void write_plugin_entry(ConfigNode& table, const PluginChoice& choice);

template <class T>
constexpr const char* scalar_type_name() {
  if constexpr (std::is_same_v<T, bool>) return "boolean";
  if constexpr (std::is_same_v<T, int64_t>) return "integer";
  if constexpr (std::is_same_v<T, double>) return "number";
  if constexpr (std::is_same_v<T, std::string>) return "string";
  return nullptr;
}

/// Whether T is a plugin entry: a struct derived from PluginChoice with `kPluginKind` and a
/// describe() of its own. Its table `{ kind = "<name>", ... }` holds T's keys beside the options of
/// the plugin that it names; describe() binds the key `kind` to PluginChoice::name.
template <class T>
constexpr bool is_plugin_entry() {
  if constexpr (std::is_base_of_v<PluginChoice, T>) return requires {
      T::kPluginKind;
    };
  else
    return false;
}

/// How one member type is read, written and named.
template <class T, class = void>
struct FieldType;

}  // namespace config_detail

/// Builds the schema of `Options`. Used in `static void describe(Schema<Options>& schema)`.
template <class Options>
class Schema : public SchemaBase {
 public:
  template <class T>
  class FieldBuilder {
   public:
    FieldBuilder(Field& field, std::function<const T&(const void*)> value)
        : field_(field), value_(std::move(value)) {}

    /// The file must give this field.
    FieldBuilder& required() {
      field_.required = true;
      return *this;
    }
    /// Allowed values of a scalar, or of each element of a list.
    template <class V>
    FieldBuilder& one_of(std::vector<V> allowed) {
      std::vector<std::string> texts;
      for (const auto& v : allowed)
        texts.push_back(to_toml_value(ConfigNode(ConfigNode::Value(v))));
      return restrict<V>("one of " + join(texts), [allowed](const V& value) {
        for (const auto& v : allowed)
          if (v == value) return true;
        return false;
      });
    }
    FieldBuilder& one_of(std::initializer_list<const char*> allowed) {
      return one_of(std::vector<std::string>(allowed.begin(), allowed.end()));
    }
    FieldBuilder& one_of(std::initializer_list<int> allowed) {
      return one_of(std::vector<int64_t>(allowed.begin(), allowed.end()));
    }
    template <class V>
    FieldBuilder& at_least(V low) {
      return compare(">= " + number(low),
                     [low](double v) { return v >= static_cast<double>(low); });
    }
    template <class V>
    FieldBuilder& more_than(V low) {
      return compare("> " + number(low), [low](double v) { return v > static_cast<double>(low); });
    }
    template <class V, class W>
    FieldBuilder& between(V low, W high) {
      return compare("between " + number(low) + " and " + number(high), [low, high](double v) {
        return v >= static_cast<double>(low) && v <= static_cast<double>(high);
      });
    }

   private:
    template <class V>
    static std::string number(V value) {
      return to_toml_value(ConfigNode(std::is_integral_v<V>
                                          ? ConfigNode::Value(static_cast<int64_t>(value))
                                          : ConfigNode::Value(static_cast<double>(value))));
    }
    FieldBuilder& compare(const std::string& range, std::function<bool(double)> allowed) {
      if constexpr (std::is_same_v<T, double> || std::is_same_v<T, std::vector<double>> ||
                    std::is_same_v<T, std::optional<double>>)
        return restrict<double>(range, allowed);
      else
        return restrict<int64_t>(
            range, [allowed](const int64_t& v) { return allowed(static_cast<double>(v)); });
    }
    template <class V>
    FieldBuilder& restrict(const std::string& range, std::function<bool(const V&)> allowed) {
      field_.range = range;
      auto inner = field_.read;
      auto value_of = value_;
      field_.read = [=](void* object, const ConfigNode& node, const std::string& path,
                        ReadContext& context) {
        const size_t errors_before = context.error_count();
        inner(object, node, path, context);
        if (context.error_count() > errors_before) return;
        auto check = [&](const V& value) {
          if (!allowed(value))
            context.error(node.source, path,
                          "expected " + range + ", got " +
                              to_toml_value(ConfigNode(ConfigNode::Value(value))));
        };
        const T& value = value_of(object);
        if constexpr (std::is_same_v<T, V>) check(value);
        if constexpr (std::is_same_v<T, std::optional<V>>) {
          if (value) check(*value);
        }
        if constexpr (std::is_same_v<T, std::vector<V>>) {
          for (const V& v : value) check(v);
        }
      };
      return *this;
    }
    Field& field_;
    std::function<const T&(const void*)> value_;
  };

  /// Binds `name` to a member: bool, int64_t, double, std::string, std::optional or std::vector of
  /// these (also of a base), a nested struct with its own describe(), PluginOf<Kind>, a list or a
  /// PluginMapOf of it, a plugin entry (is_plugin_entry()).
  template <class T, class Base>
  FieldBuilder<T> field(const std::string& name, T Base::*member, const std::string& doc) {
    static_assert(std::is_base_of_v<Base, Options>, "the member must be one of Options");
    using Type = config_detail::FieldType<T>;
    Field f;
    f.name = name;
    f.type = Type::name();
    f.doc = doc;
    f.plugin_kind = Type::plugin_kind();
    f.nested = Type::nested();
    f.read = [member](void* object, const ConfigNode& node, const std::string& path,
                      ReadContext& context) {
      Type::read(static_cast<Options*>(object)->*member, node, path, context);
    };
    f.read_absent = [member](void* object, const std::string& path, ReadContext& context) {
      Type::read_absent(static_cast<Options*>(object)->*member, path, context);
    };
    f.write = [member](const void* object) {
      return Type::write(static_cast<const Options*>(object)->*member);
    };
    fields_.push_back(std::move(f));
    return FieldBuilder<T>(fields_.back(), [member](const void* object) -> const T& {
      return static_cast<const Options*>(object)->*member;
    });
  }

  /// Lets SchemaBase::view() find the base `Base` of Options.
  template <class Base>
  void base() {
    static_assert(std::is_base_of_v<Base, Options>, "expected a base of Options");
    bases_.emplace_back(&typeid(Base), [](const void* object) -> const void* {
      return static_cast<const Base*>(static_cast<const Options*>(object));
    });
  }

  /// Binds `key` to the part of a family that the table chooses, see kinds.h. The part's own
  /// options stand in the same table; an option that only other kinds have is an error that names
  /// them.
  template <class Base>
  void kind(const std::string& key, KindOf<Base> Options::*member, const std::string& doc) {
    KindField field;
    field.key = key;
    field.doc = doc;
    for (const auto& kind : Base::kinds())
      field.kinds.push_back({kind.name, kind.doc, kind.schema, kind.make});
    field.chosen = [member](const void* object) {
      return (static_cast<const Options*>(object)->*member).index();
    };
    field.options = [member](const void* object) {
      return (static_cast<const Options*>(object)->*member).options();
    };
    field.choose = [member](void* object, size_t kind, std::shared_ptr<void> options) {
      static_cast<Options*>(object)->*member = KindOf<Base>(kind, std::move(options));
    };
    kind_field_ = std::move(field);
  }

  /// A rule over several fields; `check` throws ConfigError with a sentence that names them.
  void validate(std::function<void(const Options&)> check) {
    validate_ = [check](const void* object) { check(*static_cast<const Options*>(object)); };
  }
};

/// The schema of `Options`, made once.
template <class Options>
const Schema<Options>& schema_of() {
  static const Schema<Options> schema = [] {
    Schema<Options> s;
    Options::describe(s);
    return s;
  }();
  return schema;
}

}  // namespace tessera

#include "core/config/field_types.h"
