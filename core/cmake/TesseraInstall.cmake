# What `cmake --install` lays down. Own files find each other relative to $ORIGIN, LibTorch by the
# path it was built with:
#   bin/tessera, libexec/tessera-main, lib/libtessera_core.so, libtessera_codecs.so (and
#   libtessera_nccl.so), lib/tessera/plugins/*.so, include/tessera/core/**,
#   lib/cmake/Tessera (find_package(Tessera)), share/tessera/experiments
include(CMakePackageConfigHelpers)

set(_package_dir lib/cmake/Tessera)

# The public headers: the same that the ABI stamp is a hash of, and the generated stamp.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/core ${CMAKE_BINARY_DIR}/generated/core
  DESTINATION include/tessera
  FILES_MATCHING PATTERN "*.h"
  PATTERN pch.h EXCLUDE
  PATTERN cmake EXCLUDE
  PATTERN kernels EXCLUDE
  PATTERN cuda EXCLUDE)

# _install_target(TARGET RPATH DESTINATION): does nothing where the target is not part of the build.
function(_install_target target rpath destination)
  if(NOT TARGET ${target})
    return()
  endif()
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "${rpath};${TESSERA_TORCH_RPATH}")
  install(TARGETS ${target} RUNTIME DESTINATION ${destination} LIBRARY DESTINATION ${destination})
endfunction()

_install_target(tessera_core "$ORIGIN" lib)
_install_target(tessera "$ORIGIN/../lib" bin)
_install_target(tessera_main "$ORIGIN/../lib" libexec)
_install_target(tessera_codecs "$ORIGIN" lib)
_install_target(tessera_nccl "$ORIGIN" lib)

get_property(_plugins GLOBAL PROPERTY TESSERA_PLUGIN_TARGETS)
foreach(_plugin ${_plugins})
  # Plugins made for the tests, some of them broken on purpose, stay here.
  get_target_property(_source_dir ${_plugin} SOURCE_DIR)
  cmake_path(IS_PREFIX CMAKE_SOURCE_DIR "${_source_dir}" _ours)
  string(FIND "${_source_dir}/" "${CMAKE_SOURCE_DIR}/tests/" _in_tests)
  if(_ours AND _in_tests EQUAL -1)
    _install_target(${_plugin} "$ORIGIN/../.." lib/tessera/plugins)
  endif()
endforeach()

install(DIRECTORY ${CMAKE_SOURCE_DIR}/experiments DESTINATION share/tessera
  FILES_MATCHING PATTERN "*.toml")
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/NOTICE DESTINATION share/tessera OPTIONAL)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/TesseraConfig.cmake.in
  ${CMAKE_BINARY_DIR}/package/TesseraConfig.cmake
  INSTALL_DESTINATION ${_package_dir}
  NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# Plugins answer to an exact ABI stamp, so a newer minor version is no replacement.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/TesseraConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${CMAKE_BINARY_DIR}/package/TesseraConfig.cmake
  ${CMAKE_BINARY_DIR}/package/TesseraConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/TesseraPlugin.cmake
  ${CMAKE_CURRENT_LIST_DIR}/TesseraTorch.cmake
  DESTINATION ${_package_dir})

# `cpack -G TGZ` in the build folder: the same files as one archive, for machines that have LibTorch.
set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_VENDOR "Tessera's authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Video instance segmentation composed from plugins by TOML")
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
include(CPack)
