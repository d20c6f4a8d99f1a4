# libzip as the target tessera_zip. Debian's package configuration asks for programs that only
# another package has, so header and library are looked for.
find_path(TESSERA_ZIP_INCLUDE zip.h)
find_library(TESSERA_ZIP_LIBRARY zip)
if(NOT TESSERA_ZIP_INCLUDE OR NOT TESSERA_ZIP_LIBRARY)
  message(FATAL_ERROR "libzip: expected zip.h and libzip, found none. scripts/setup installs them "
    "(Debian: libzip-dev).")
endif()
add_library(tessera_zip INTERFACE)
target_include_directories(tessera_zip SYSTEM INTERFACE ${TESSERA_ZIP_INCLUDE})
target_link_libraries(tessera_zip INTERFACE ${TESSERA_ZIP_LIBRARY})
