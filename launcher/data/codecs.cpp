#include "launcher/data/codecs.h"

#include <dlfcn.h>

#include "core/error.h"

namespace tessera::data {
namespace {

const Codecs& load_codecs() {
  void* library = dlopen("libtessera_codecs.so", RTLD_NOW);
  const void* symbol = library == nullptr ? nullptr : dlsym(library, kCodecsSymbol);
  if (symbol == nullptr) {
    const char* reason = dlerror();
    throw RuntimeError("images: expected libtessera_codecs.so beside libtessera_core.so, got '" +
                       std::string(reason == nullptr ? "no reason" : reason) +
                       "'. Is the installation whole?");
  }
  return *static_cast<const Codecs*>(symbol);
}

}  // namespace

const Codecs& codecs() {
  static const Codecs& loaded = load_codecs();
  return loaded;
}

}  // namespace tessera::data
