# LibTorch as imported targets of our own: TorchConfig.cmake stops where no CUDA toolkit is
# installed, and a CPU-only build of Tessera must not need one.
#   TORCH_ROOT, CMAKE_PREFIX_PATH, or the virtual environment that scripts/setup makes.
if(NOT TORCH_ROOT)
  file(GLOB _venv_torch ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
  find_path(_torch_include torch/script.h
    HINTS ${CMAKE_PREFIX_PATH} ${_venv_torch} PATH_SUFFIXES include torch/include NO_CACHE)
  if(_torch_include)
    get_filename_component(_torch_root ${_torch_include} DIRECTORY)
    set(TORCH_ROOT ${_torch_root} CACHE PATH "LibTorch: the folder that holds include/ and lib/" FORCE)
  endif()
endif()
if(NOT EXISTS ${TORCH_ROOT}/include/torch/script.h)
  message(FATAL_ERROR
    "LibTorch: expected TORCH_ROOT or CMAKE_PREFIX_PATH to hold include/torch/script.h, got "
    "'${TORCH_ROOT}'. Run scripts/setup, or pass -DTORCH_ROOT=<libtorch>.")
endif()

file(READ ${TORCH_ROOT}/include/torch/headeronly/version.h _torch_version_text)
foreach(_part MAJOR MINOR PATCH)
  string(REGEX MATCH "TORCH_VERSION_${_part} ([0-9]+)" _ "${_torch_version_text}")
  set(_torch_${_part} ${CMAKE_MATCH_1})
endforeach()
set(TESSERA_TORCH_VERSION ${_torch_MAJOR}.${_torch_MINOR}.${_torch_PATCH})
if(TESSERA_TORCH_VERSION VERSION_LESS 2.11)
  message(FATAL_ERROR "LibTorch: expected version 2.11 or newer, got ${TESSERA_TORCH_VERSION} at ${TORCH_ROOT}")
endif()
message(STATUS "LibTorch ${TESSERA_TORCH_VERSION} at ${TORCH_ROOT}")

foreach(_lib c10 torch_cpu c10_cuda torch_cuda)
  if(EXISTS ${TORCH_ROOT}/lib/lib${_lib}.so)
    add_library(torch::${_lib} SHARED IMPORTED GLOBAL)
    set_target_properties(torch::${_lib} PROPERTIES IMPORTED_LOCATION ${TORCH_ROOT}/lib/lib${_lib}.so)
  endif()
endforeach()

add_library(tessera_torch INTERFACE)
target_include_directories(tessera_torch SYSTEM INTERFACE
  ${TORCH_ROOT}/include ${TORCH_ROOT}/include/torch/csrc/api/include)
target_compile_definitions(tessera_torch INTERFACE USE_DISTRIBUTED)
target_link_libraries(tessera_torch INTERFACE torch::torch_cpu torch::c10)
# at::parallel_for is in a header: without OpenMP it becomes a plain loop on one thread.
target_compile_options(tessera_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
target_link_options(tessera_torch INTERFACE $<$<LINK_LANGUAGE:CXX>:-fopenmp>)
# The PyPI wheel keeps the CUDA runtime that libtorch_cpu needs beside torch/.
file(GLOB _torch_nvidia_libs ${TORCH_ROOT}/../nvidia/*/lib)
set(TESSERA_TORCH_RPATH ${TORCH_ROOT}/lib ${_torch_nvidia_libs})
target_link_options(tessera_torch INTERFACE -Wl,--allow-shlib-undefined)
set(CMAKE_BUILD_RPATH ${CMAKE_BINARY_DIR}/lib ${TESSERA_TORCH_RPATH})
set(CMAKE_INSTALL_RPATH "$ORIGIN;$ORIGIN/..;$ORIGIN/../lib;${TESSERA_TORCH_RPATH}")
set(CMAKE_BUILD_RPATH_USE_ORIGIN OFF)
