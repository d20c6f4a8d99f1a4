#include "launcher/run_main.h"

#include <cstdio>
#include <exception>

#include "core/error.h"
#include "launcher/standard_output.h"

namespace tessera {

int run_main(const std::function<int()>& body, const std::function<std::string()>& who,
             const std::function<void(const std::string& error)>& also) {
  const auto report = [&](const std::exception& error, int code) {
    const std::string name = who ? who() : "";
    std::fprintf(stderr, "error: %s%s%s\n", name.c_str(), name.empty() ? "" : ": ", error.what());
    if (also) also(error.what());
    return code;
  };
  const auto run = [&]() -> int {
    try {
      hold_standard_descriptors();
      return body();
    } catch (const ConfigError& error) {
      return report(error, kConfigError);
    } catch (const PluginError& error) {
      return report(error, kPluginError);
    } catch (const DataError& error) {
      return report(error, kDataError);
    } catch (const std::exception& error) {
      return report(error, kRuntimeError);
    }
  };
  const int code = run();
  try {
    flush_standard_output();
    return code;
  } catch (const RuntimeError& error) {
    // A code that already states an error or a request to run again stays.
    return report(error, code == kOk || code == kFailed ? kRuntimeError : code);
  }
}

}  // namespace tessera
