#pragma once
// The one header a plugin includes besides what it uses.

#include <boost/dll/alias.hpp>
#include <type_traits>

#include "core/interfaces/build_context.h"
#include "core/plugin/abi.h"
#include "core/plugin/descriptor.h"

namespace tessera {

/// Options::kExample, or "" where the options have none.
template <class Options>
constexpr const char* example_of() {
  if constexpr (requires { Options::kExample; })
    return Options::kExample;
  else
    return "";
}

/// The descriptor of a part class with `struct Options` (with `static void describe(Schema<...>&)`)
/// and a constructor (const Options&, const BuildContext&). Options with a required field state
/// usable values for `plugins check`: `static constexpr const char* kExample = "sizes = [8]"`.
template <class Kind, class PartClass>
constexpr PluginDescriptor make_descriptor(const char* name, const char* summary) {
  static_assert(std::is_base_of_v<Kind, PartClass>, "the class must derive from the plugin's kind");
  using Options = typename PartClass::Options;
  return {Kind::kKind,
          name,
          summary,
          []() -> const SchemaBase& { return schema_of<Options>(); },
          []() -> std::shared_ptr<void> { return std::make_shared<Options>(); },
          [](const void* options, const BuildContext& context) -> std::shared_ptr<Part> {
            return std::make_shared<PartClass>(*static_cast<const Options*>(options), context);
          },
          example_of<Options>()};
}

}  // namespace tessera

/// Registers a plugin, as the last line of its .cpp:
///   TESSERA_PLUGIN(Backbone, ResNet, "resnet", "ResNet-18 to 101 feature extractor");
/// Exports constant data only; nothing runs when the library is loaded.
#define TESSERA_PLUGIN(Kind, PartClass, name, summary)                                \
  extern "C" __attribute__((visibility("default"))) const char tessera_plugin_abi[] = \
      TESSERA_ABI_STAMP;                                                              \
  namespace tessera_plugin_detail {                                                   \
  extern const ::tessera::PluginDescriptor descriptor;                                \
  const ::tessera::PluginDescriptor descriptor =                                      \
      ::tessera::make_descriptor<::tessera::Kind, PartClass>(name, summary);          \
  }                                                                                   \
  BOOST_DLL_ALIAS(tessera_plugin_detail::descriptor, tessera_plugin)
