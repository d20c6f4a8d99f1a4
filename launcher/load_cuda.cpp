#include "launcher/load_cuda.h"

#include <dlfcn.h>
#include <unistd.h>

namespace tessera {

void load_cuda_if_present() {
  if (access("/dev/nvidiactl", F_OK) != 0) return;  // loading it in vain costs seconds
  dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  dlopen("libtessera_core_cuda.so", RTLD_NOW | RTLD_GLOBAL);
}

}  // namespace tessera
