#include "launcher/weights/pickle/globals.h"

namespace tessera::pickle {
namespace {

using enum Role;
using enum ElementType;

constexpr Global kGlobals[] = {
    {"collections", "OrderedDict", kMapping},
    {"collections", "defaultdict", kMapping},
    {"collections", "Counter", kMapping},
    {"yacs.config", "CfgNode", kMapping},
    {"fvcore.common.config", "CfgNode", kMapping},
    {"detectron2.config.config", "CfgNode", kMapping},
    {"torch._utils", "_rebuild_tensor", kTensor},
    {"torch._utils", "_rebuild_tensor_v2", kTensor},
    {"torch._utils", "_rebuild_parameter", kParameter},
    {"torch._utils", "_rebuild_parameter_with_state", kParameter},
    {"torch._tensor", "_rebuild_from_type_v2", kTensorSubclass},
    {"torch", "DoubleStorage", kStorage, kFloat64},
    {"torch", "FloatStorage", kStorage, kFloat32},
    {"torch", "HalfStorage", kStorage, kFloat16},
    {"torch", "BFloat16Storage", kStorage, kBfloat16},
    {"torch", "LongStorage", kStorage, kInt64},
    {"torch", "IntStorage", kStorage, kInt32},
    {"torch", "ShortStorage", kStorage, kInt16},
    {"torch", "CharStorage", kStorage, kInt8},
    {"torch", "ByteStorage", kStorage, kUint8},
    {"torch", "BoolStorage", kStorage, kBool},
    {"numpy.core.multiarray", "_reconstruct", kArray},
    {"numpy._core.multiarray", "_reconstruct", kArray},
    {"numpy.core.numeric", "_frombuffer", kBufferArray},
    {"numpy._core.numeric", "_frombuffer", kBufferArray},
    {"numpy", "dtype", kArrayType},
    {"_codecs", "encode", kEncode},
    {"builtins", "bytes", kBytes},
    {"__builtin__", "bytes", kBytes},
    {"builtins", "bytearray", kBytes},
    {"__builtin__", "bytearray", kBytes},
    // What stands beside weights.
    {"argparse", "Namespace", kInert},
    {"torch", "Size", kInert},
    {"torch", "device", kInert},
    {"torch", "Tensor", kInert},
    {"torch.nn.parameter", "Parameter", kInert},
    {"torch", "float64", kInert},
    {"torch", "float32", kInert},
    {"torch", "float16", kInert},
    {"torch", "bfloat16", kInert},
    {"torch", "int64", kInert},
    {"torch", "int32", kInert},
    {"torch", "int16", kInert},
    {"torch", "int8", kInert},
    {"torch", "uint8", kInert},
    {"torch", "bool", kInert},
    {"numpy", "ndarray", kInert},
    {"numpy.core.multiarray", "scalar", kInert},
    {"numpy._core.multiarray", "scalar", kInert},
    {"pathlib", "Path", kInert},
    {"pathlib", "PosixPath", kInert},
    {"pathlib", "PurePosixPath", kInert},
    {"pathlib", "WindowsPath", kInert},
    {"copy_reg", "_reconstructor", kInert},
    {"copyreg", "_reconstructor", kInert},
    {"builtins", "object", kInert},
    {"__builtin__", "object", kInert},
    {"builtins", "set", kInert},
    {"__builtin__", "set", kInert},
    {"builtins", "frozenset", kInert},
    {"__builtin__", "frozenset", kInert},
    {"builtins", "slice", kInert},
    {"builtins", "range", kInert},
    {"builtins", "complex", kInert},
    {"builtins", "dict", kMapping},  // as the class of a defaultdict's default
    {"builtins", "list", kInert},
    {"builtins", "int", kInert},
    {"builtins", "float", kInert},
};

}  // namespace

const Global* find_global(std::string_view module, std::string_view name) {
  for (const Global& global : kGlobals)
    if (global.name == name && global.module == module) return &global;
  return nullptr;
}

}  // namespace tessera::pickle
