// The CUDA kernels, compiled as C++ for the emulated device.

#include "core/ops/cuda/deform_columns.cu"
#include "core/ops/cuda/ms_deform_attn.cu"
#include "core/ops/cuda/st_deform_attn.cu"
