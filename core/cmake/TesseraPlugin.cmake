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
