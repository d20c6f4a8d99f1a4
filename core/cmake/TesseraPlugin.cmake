# tessera_add_plugin(KIND NAME SOURCES...): one shared library libtessera_<kind>_<name>.so
# that links tessera_core alone. Used in this tree and, after install, out of it.
function(tessera_add_plugin kind name)
  set(target tessera_${kind}_${name})
  add_library(${target} MODULE ${ARGN})
  target_link_libraries(${target} PRIVATE tessera::core)
  set_target_properties(${target} PROPERTIES
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/tessera/plugins)
  if(TARGET tessera_flags)
    target_link_libraries(${target} PRIVATE tessera_flags)
  endif()
  if(TARGET tessera_pch AND TESSERA_PCH)
    target_precompile_headers(${target} REUSE_FROM tessera_pch)
  endif()
  set_property(GLOBAL APPEND PROPERTY TESSERA_PLUGIN_TARGETS ${target})
endfunction()

# tessera_add_plugin_folder(ROOT OUTPUT_TARGETS): every folder ROOT/<kind folder>/<name>/ is a plugin.
# The kind comes from the registration line TESSERA_PLUGIN(Kind, ...) of <name>.cpp; sources named
# *_test.cpp are collected in the global property TESSERA_PLUGIN_TESTS. A new plugin edits nothing.
function(tessera_add_plugin_folder root output_targets)
  file(GLOB folders CONFIGURE_DEPENDS ${root}/*/*)
  set(targets "")
  foreach(folder ${folders})
    if(NOT IS_DIRECTORY ${folder})
      continue()
    endif()
    get_filename_component(name ${folder} NAME)
    if(NOT EXISTS ${folder}/${name}.cpp)
      message(FATAL_ERROR "${folder}: expected the plugin's source ${name}.cpp, got none")
    endif()
    file(READ ${folder}/${name}.cpp source)
    string(REGEX MATCH "TESSERA_PLUGIN\\([^)]*" registration "${source}")
    string(REGEX MATCH "TESSERA_PLUGIN\\(([A-Za-z]+),[ \n]*[A-Za-z0-9_:]+,[ \n]*\"([a-z0-9_]+)\"" _
      "${registration}")
    if(NOT CMAKE_MATCH_2 STREQUAL name)
      message(FATAL_ERROR "${folder}/${name}.cpp: expected TESSERA_PLUGIN(<Kind>, <Class>, "
        "\"${name}\", ...), got '${registration}'")
    endif()
    string(REGEX REPLACE "([a-z])([A-Z])" "\\1_\\2" kind ${CMAKE_MATCH_1})
    string(TOLOWER ${kind} kind)
    file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp)
    set(tests ${sources})
    list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
    list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
    tessera_add_plugin(${kind} ${name} ${sources})
    list(APPEND targets tessera_${kind}_${name})
    set_property(GLOBAL APPEND PROPERTY TESSERA_PLUGIN_TESTS ${tests})
  endforeach()
  set(${output_targets} ${targets} PARENT_SCOPE)
endfunction()
