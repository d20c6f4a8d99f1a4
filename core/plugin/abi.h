#pragma once

#include <torch/headeronly/version.h>

#include <cstddef>  // the standard library says which of its ABIs is in use

#include "core/plugin/abi_hash.h"  // made by CMake: hash of core's public headers

#define TESSERA_STRINGIFY_(x) #x
#define TESSERA_STRINGIFY(x) TESSERA_STRINGIFY_(x)

#if defined(__SANITIZE_ADDRESS__)
#define TESSERA_ABI_SANITIZER "address"
#else
#define TESSERA_ABI_SANITIZER "none"
#endif

/// Everything that must be equal between core and a plugin for a call to be safe. Compared as text
/// before anything else of a library is touched.
#define TESSERA_ABI_STAMP \
  "tessera-abi 1; headers " TESSERA_ABI_HASH "; torch " TESSERA_STRINGIFY(                    \
      TORCH_VERSION_MAJOR) "." TESSERA_STRINGIFY(TORCH_VERSION_MINOR) "; gcc-abi " TESSERA_STRINGIFY( \
      __GXX_ABI_VERSION) "; cxx11 " TESSERA_STRINGIFY(_GLIBCXX_USE_CXX11_ABI) "; sanitizer "  \
  TESSERA_ABI_SANITIZER
