#include "launcher/weights/pickle/globals.h"

#include <algorithm>
#include <iterator>

#include "launcher/weights/pickle/text.h"

namespace tessera::pickle {
namespace {

using enum Role;
// kBytes is a role, too, so ElementType::kBytes is written in full.
using ElementType::kBool, ElementType::kBfloat16, ElementType::kComplex128, ElementType::kComplex64,
    ElementType::kFloat16, ElementType::kFloat32, ElementType::kFloat64, ElementType::kInt16,
    ElementType::kInt32, ElementType::kInt64, ElementType::kInt8, ElementType::kQint32,
    ElementType::kQint8, ElementType::kQuint8, ElementType::kUint8;

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
    {"torch", "ComplexFloatStorage", kStorage, kComplex64},
    {"torch", "ComplexDoubleStorage", kStorage, kComplex128},
    {"torch", "QInt8Storage", kStorage, kQint8},
    {"torch", "QUInt8Storage", kStorage, kQuint8},
    {"torch", "QInt32Storage", kStorage, kQint32},
    {"torch", "UntypedStorage", kStorage, ElementType::kBytes},
    {"torch.storage", "UntypedStorage", kStorage, ElementType::kBytes},
    {"torch.storage", "_load_from_bytes", kStoredStorage},
    {"torch._utils", "_rebuild_tensor_v3", kOtherTensor},
    {"torch._utils", "_rebuild_sparse_tensor", kOtherTensor},
    {"torch._utils", "_rebuild_sparse_csr_tensor", kOtherTensor},
    {"torch._utils", "_rebuild_nested_tensor", kOtherTensor},
    {"torch._utils", "_rebuild_qtensor", kOtherTensor},
    {"torch._utils", "_rebuild_meta_tensor_no_storage", kOtherTensor},
    {"torch._utils", "_rebuild_wrapper_subclass", kOtherTensor},
    {"torch._utils", "_rebuild_device_tensor_from_numpy", kOtherTensor},
    {"torch._utils", "_rebuild_device_tensor_from_cpu_tensor", kOtherTensor},
    {"torch._utils", "_rebuild_xla_tensor", kOtherTensor},
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
    {"builtins", "dict", kMapping},  // as the class of a defaultdict's default
    // Named inert, so that no name may walk through their attributes.
    {"torch", "Tensor", kInert},
    {"torch", "Size", kInert},
    {"argparse", "Namespace", kInert},
};

// Modules of which every name is refused, their submodules with them: there is nothing in them that
// a weight file could need.
constexpr std::string_view kModulesThatRunCode[] = {
    "_operator",    "_pickle",       "_posixsubprocess",
    "_thread",      "aiohttp",       "asyncio",
    "bdb",          "cPickle",       "cffi",
    "cloudpickle",  "code",          "codeop",
    "commands",     "ctypes",        "_ctypes",
    "dill",         "distutils",     "ensurepip",
    "ftplib",       "httplib",       "idlelib",
    "imp",          "importlib",     "inspect",
    "joblib",       "marshal",       "multiprocessing",
    "nt",           "operator",      "os",
    "pdb",          "pickle",        "pip",
    "pkgutil",      "popen2",        "posix",
    "pty",          "requests",      "runpy",
    "setuptools",   "shelve",        "shutil",
    "site",         "smtplib",       "socket",
    "socketserver", "subprocess",    "sys",
    "telnetlib",    "timeit",        "torch.hub",
    "torch.jit",    "torch.package", "torch.utils.cpp_extension",
    "urllib",       "urllib2",       "webbrowser",
    "xmlrpc",       "zipimport"};

struct Name {
  std::string_view module, name;
};
constexpr Name kFunctionsThatRunCode[] = {
    {"builtins", "__build_class__"},
    {"builtins", "__import__"},
    {"builtins", "apply"},
    {"builtins", "breakpoint"},
    {"builtins", "compile"},
    {"builtins", "delattr"},
    {"builtins", "eval"},
    {"builtins", "exec"},
    {"builtins", "execfile"},
    {"builtins", "file"},
    {"builtins", "filter"},
    {"builtins", "getattr"},
    {"builtins", "globals"},
    {"builtins", "help"},
    {"builtins", "input"},
    {"builtins", "locals"},
    {"builtins", "map"},
    {"builtins", "open"},
    {"builtins", "reload"},
    {"builtins", "setattr"},
    {"builtins", "vars"},
    {"io", "FileIO"},
    {"io", "open"},
    {"io", "open_code"},
    {"_io", "FileIO"},
    {"_io", "open"},
    {"_io", "open_code"},
    {"numpy", "load"},
    {"numpy.lib.npyio", "load"},
    {"torch", "load"},
    {"torch.serialization", "_load"},
    {"torch.serialization", "load"},
    {"types", "CodeType"},
    {"types", "FunctionType"},
    {"types", "LambdaType"},
};

}  // namespace

const Global* find_global(std::string_view module, std::string_view name) {
  for (const Global& global : kGlobals)
    if (global.name == name && global.module == module) return &global;
  return nullptr;
}

bool runs_code(std::string_view module, std::string_view name) {
  const auto is_within = [&](std::string_view refused) {
    return module.starts_with(refused) &&
           (module.size() == refused.size() || module[refused.size()] == '.');
  };
  if (std::any_of(std::begin(kModulesThatRunCode), std::end(kModulesThatRunCode), is_within))
    return true;
  if (module == "__builtin__" || module == "__builtins__") module = "builtins";  // Python 2's
  for (const Name& refused : kFunctionsThatRunCode)
    if (refused.module == module && refused.name == name) return true;
  // A name with dots is a class within a class, unless it leads to a method.
  const size_t dot = name.find('.');
  if (dot == std::string_view::npos) return false;
  return name.find("__") != std::string_view::npos ||
         find_global(module, name.substr(0, dot)) != nullptr ||
         runs_code(module, name.substr(0, dot));
}

std::string text_of(const Global& global) {
  const auto printable = [](std::string_view text) {
    const std::string quoted = quote(text);
    return quoted.substr(1, quoted.size() - 2);
  };
  return printable(global.module) + "." + printable(global.name);
}

}  // namespace tessera::pickle
