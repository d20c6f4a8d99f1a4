// `tessera bench ops` for a build without the launcher: bench_ops DEVICE JSON_FILE [--quick].

#include <ATen/ATen.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/op_bench.h"

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4 || (argc == 4 && std::string(argv[3]) != "--quick")) {
    std::fprintf(stderr, "usage: bench_ops cpu|cuda JSON_FILE [--quick]\n");
    return 2;
  }
  try {
    std::ofstream file(argv[2]);
    tessera::bench::OpBenchOptions options;
    options.device = at::Device(argv[1]);
    options.quick = argc == 4;
    at::manual_seed(1);
    file << tessera::bench::bench_ops(options).dump(1) << '\n';
    if (!file.flush()) throw std::runtime_error(std::string("cannot write ") + argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 5;
  }
  return 0;
}
