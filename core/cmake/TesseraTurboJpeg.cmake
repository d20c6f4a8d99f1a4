# libjpeg-turbo's own interface as the target tessera_turbojpeg. Debian's package configuration is in
# another package than the library, so header and library are looked for.
find_path(TESSERA_TURBOJPEG_INCLUDE turbojpeg.h)
find_library(TESSERA_TURBOJPEG_LIBRARY turbojpeg)
if(NOT TESSERA_TURBOJPEG_INCLUDE OR NOT TESSERA_TURBOJPEG_LIBRARY)
  message(FATAL_ERROR "libjpeg-turbo: expected turbojpeg.h and libturbojpeg, found none. scripts/setup "
    "installs them (Debian: libturbojpeg0-dev).")
endif()
add_library(tessera_turbojpeg INTERFACE)
target_include_directories(tessera_turbojpeg SYSTEM INTERFACE ${TESSERA_TURBOJPEG_INCLUDE})
target_link_libraries(tessera_turbojpeg INTERFACE ${TESSERA_TURBOJPEG_LIBRARY})
