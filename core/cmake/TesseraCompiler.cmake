# Flags of Tessera's own code; third-party headers are SYSTEM and stay quiet.
add_library(tessera_flags INTERFACE)
target_compile_options(tessera_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror $<$<CXX_COMPILER_ID:GNU>:-Wno-psabi>>)
# GCC 12 warns wrongly of std::string's operator+ (its bugs 105329 and 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(tessera_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-stringop-overflow -Wno-restrict>)
endif()
if(TESSERA_SANITIZE)
  target_compile_options(tessera_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${TESSERA_SANITIZE} -fno-omit-frame-pointer>
    # The checks that sanitizers insert hide from GCC what is initialised.
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
  target_link_options(tessera_flags INTERFACE -fsanitize=${TESSERA_SANITIZE})
endif()

# tessera_compile_together(TARGET): LibTorch's headers cost five seconds in every file, even
# precompiled (GCC instantiates their templates anew), so a target's files are compiled in groups.
function(tessera_compile_together target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${TESSERA_UNITY} UNITY_BUILD_BATCH_SIZE 8)
endfunction()

find_program(TESSERA_CCACHE ccache)
if(TESSERA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    ${TESSERA_CCACHE})
endif()

# LibTorch translation units take 0.5 to 1.5 GB each: limit jobs by memory, not only by cores.
cmake_host_system_information(RESULT TESSERA_MEMORY_MB QUERY AVAILABLE_PHYSICAL_MEMORY)
math(EXPR TESSERA_JOBS "${TESSERA_MEMORY_MB} / 1800")
if(TESSERA_JOBS LESS 1)
  set(TESSERA_JOBS 1)
endif()
set_property(GLOBAL PROPERTY JOB_POOLS tessera_compile=${TESSERA_JOBS})
set(CMAKE_JOB_POOL_COMPILE tessera_compile)
