#include "core/plugin/loader.h"

#include <dlfcn.h>

#include <boost/dll/shared_library.hpp>
#include <cstring>

#include "core/error.h"
#include "core/plugin/abi.h"

namespace tessera {
namespace {

// Boost.DLL words a failed dlopen as "Bad file descriptor"; the loader's own text says why.
std::string reason_of(const std::exception& error) {
  std::string text = error.what();
  const size_t own = text.find("(dlerror system message: ");
  if (own != std::string::npos) {
    text = text.substr(own + 25);
    if (const size_t end = text.rfind(')'); end != std::string::npos) text.resize(end);
  }
  return text;
}

}  // namespace

const PluginDescriptor& load_plugin_library(const std::filesystem::path& file) {
  const std::string where = file.string();
  if (!std::filesystem::is_regular_file(file))
    throw PluginError(where + ": expected a plugin library, got no such file.");
  namespace dll = boost::dll;
  // Leaked on purpose, see the header.
  auto* library = new dll::shared_library;
  try {
    library->load(std::filesystem::absolute(file),
                  dll::load_mode::rtld_now | dll::load_mode::rtld_local);
  } catch (const std::exception& error) {
    throw PluginError(where + ": expected a loadable shared library, got: " + reason_of(error) +
                      ". Build it against this Tessera, and see that what it needs is installed.");
  }
  if (!library->has("tessera_plugin_abi"))
    throw PluginError(where +
                      ": expected the symbol tessera_plugin_abi, got none. Is it a Tessera "
                      "plugin? Its source ends with TESSERA_PLUGIN(...).");
  const char* stamp = &library->get<const char>("tessera_plugin_abi");
  const size_t length = std::strlen(TESSERA_ABI_STAMP) + 64;
  if (std::strncmp(stamp, TESSERA_ABI_STAMP, length) != 0)
    throw PluginError(where + ": expected the ABI '" TESSERA_ABI_STAMP "', got '" +
                      std::string(stamp, strnlen(stamp, length)) + "'. Build it again.");
  if (!library->has("tessera_plugin"))
    throw PluginError(where +
                      ": expected the symbol tessera_plugin, got none. Its source ends with "
                      "TESSERA_PLUGIN(...).");
  const auto* descriptor = library->get<const PluginDescriptor*>("tessera_plugin");
  if (!descriptor || !descriptor->kind || !descriptor->name || !descriptor->create)
    throw PluginError(where + ": expected a filled plugin descriptor, got an empty one.");
  return *descriptor;
}

}  // namespace tessera
