#pragma once
// A closed family of parts, one of which a table of the configuration chooses by name
// (`kind = "cosine"`). Each part is one file: its options with their schema, and what it does. The
// family's base class lists its parts: `static const std::vector<OptionKind<Base>>& kinds();`, the
// default first. Parts that come from libraries are plugins instead, see PluginOf.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/config/schema.h"

namespace tessera {

/// One part of a family: its name, what it is, and the schema of the options that it alone has.
template <class Base>
struct OptionKind {
  std::string name;
  std::string doc;
  const SchemaBase* schema = nullptr;
  /// A new part with the options of `from`, or with its defaults where that is null.
  std::shared_ptr<void> (*make)(const void* from) = nullptr;
  const Base* (*part)(const void* options) = nullptr;
};

/// The entry of `Part` in its family's list. The part is its own options.
template <class Base, class Part>
OptionKind<Base> kind_of(std::string name, std::string doc) {
  return {std::move(name), std::move(doc), &schema_of<Part>(),
          [](const void* from) -> std::shared_ptr<void> {
            return from ? std::make_shared<Part>(*static_cast<const Part*>(from))
                        : std::make_shared<Part>();
          },
          [](const void* options) -> const Base* { return static_cast<const Part*>(options); }};
}

/// The part of a family that a table chose, with its checked options; copies share it. Bound to a
/// table's key with Schema::kind().
template <class Base>
class KindOf {
 public:
  KindOf() : KindOf(0, Base::kinds().at(0).make(nullptr)) {}
  /// The part of that name with its default options. Throws ConfigError for an unknown name.
  KindOf(const char* name) : KindOf() {  // NOLINT: reads as the default
    std::vector<std::string> names;
    for (size_t i = 0; i < Base::kinds().size(); ++i) {
      names.push_back(Base::kinds()[i].name);
      if (names.back() == name) {
        *this = KindOf(i, Base::kinds()[i].make(nullptr));
        return;
      }
    }
    throw ConfigError("kind: expected one of " + join(names) + ", got " + name + ".");
  }

  const std::string& name() const { return Base::kinds()[index_].name; }
  const Base* operator->() const { return Base::kinds()[index_].part(options_.get()); }
  const Base& operator*() const { return *operator->(); }

  size_t index() const { return index_; }
  const void* options() const { return options_.get(); }

 private:
  template <class Options>
  friend class Schema;
  KindOf(size_t index, std::shared_ptr<const void> options)
      : index_(index), options_(std::move(options)) {}

  size_t index_;
  std::shared_ptr<const void> options_;  // of the part that is chosen
};

}  // namespace tessera
