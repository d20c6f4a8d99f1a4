#include "launcher/run_main.h"

#include <cstdio>
#include <exception>

#include "core/error.h"

namespace tessera {
namespace {

int print_error(const std::function<std::string()>& who, const char* what, int code) {
  const std::string name = who ? who() : "";
  std::fprintf(stderr, "error: %s%s%s\n", name.c_str(), name.empty() ? "" : ": ", what);
  return code;
}

}  // namespace

int run_main(const std::function<int()>& body, const std::function<std::string()>& who) {
  try {
    return body();
  } catch (const ConfigError& error) {
    return print_error(who, error.what(), kConfigError);
  } catch (const PluginError& error) {
    return print_error(who, error.what(), kPluginError);
  } catch (const DataError& error) {
    return print_error(who, error.what(), kDataError);
  } catch (const std::exception& error) {
    return print_error(who, error.what(), kRuntimeError);
  }
}

}  // namespace tessera
