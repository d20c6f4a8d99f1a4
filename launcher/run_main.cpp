#include "launcher/run_main.h"

#include <cstdio>
#include <exception>

#include "core/error.h"

namespace tessera {
namespace {

int print_error(const char* what, int code) {
  std::fprintf(stderr, "error: %s\n", what);
  return code;
}

}  // namespace

int run_main(const std::function<int()>& body) {
  try {
    return body();
  } catch (const ConfigError& error) {
    return print_error(error.what(), kConfigError);
  } catch (const PluginError& error) {
    return print_error(error.what(), kPluginError);
  } catch (const DataError& error) {
    return print_error(error.what(), kDataError);
  } catch (const std::exception& error) {
    return print_error(error.what(), kRuntimeError);
  }
}

}  // namespace tessera
