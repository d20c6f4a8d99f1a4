# tessera_plain_library(TARGET HEADER LIBRARY PACKAGE): a library whose Debian package has no usable
# package configuration (libzip's asks for programs of another package, libjpeg-turbo's own interface
# is in another package than the configuration), found by its header and file.
function(tessera_plain_library target header library package)
  string(TOUPPER ${target} name)
  find_path(${name}_INCLUDE ${header})
  find_library(${name}_LIBRARY ${library})
  if(NOT ${name}_INCLUDE OR NOT ${name}_LIBRARY)
    message(FATAL_ERROR "${package}: expected ${header} and lib${library}, found none. scripts/setup "
      "installs them (Debian: ${package}).")
  endif()
  add_library(${target} INTERFACE)
  target_include_directories(${target} SYSTEM INTERFACE ${${name}_INCLUDE})
  target_link_libraries(${target} INTERFACE ${${name}_LIBRARY})
endfunction()
