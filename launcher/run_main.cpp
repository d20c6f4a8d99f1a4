#include "launcher/run_main.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "core/error.h"

namespace tessera {
namespace {

// LibTorch decides at first use whether there is CUDA, so its CUDA library and ours must be there
// before. Only tried where the driver shows a device: loading it costs seconds.
void load_cuda_if_present() {
  if (access("/dev/nvidiactl", F_OK) != 0) return;
  dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  dlopen("libtessera_core_cuda.so", RTLD_NOW | RTLD_GLOBAL);
}

int print_error(const char* what, int code) {
  std::fprintf(stderr, "error: %s\n", what);
  return code;
}

}  // namespace

int run_main(const std::function<int()>& body) {
  try {
    load_cuda_if_present();
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
