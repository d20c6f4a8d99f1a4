// The program `tessera`. Loading LibTorch takes a quarter of a second and 180 MB, which scoring
// needs none of: what scores is in here, everything else in libexec/tessera-main, which this
// becomes.

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <string_view>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/cpu_limits.h"
#include "launcher/freed_memory.h"
#include "launcher/run_main.h"

namespace {

int score_main(int argc, char** argv) {
  tessera::keep_freed_memory();
  CLI::App app("Tessera: video instance segmentation composed from plugins by TOML.", "tessera");
  tessera::commands::add_score(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    app.exit(error, std::cout, std::cerr);
    return tessera::kConfigError;
  }
  return tessera::kOk;
}

// Does not return.
[[noreturn]] void become_main(char** argv) {
  const auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() /
                       "libexec/tessera-main";
  // LibTorch reads this once. Tensors of some MiB on large pages: the kernel hands out and clears
  // a page for 2 MiB instead of 4 KiB, which was a tenth of a training step.
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
  // tcmalloc would report every allocation of a GB on standard error.
  setenv("TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD", "0", /*overwrite=*/0);
  tessera::keep_affinity_mask();
  execv(program.c_str(), argv);
  throw tessera::RuntimeError(program.string() + ": expected a program to run, got '" +
                              std::strerror(errno) + "'. Is the installation whole?");
}

}  // namespace

int main(int argc, char** argv) {
  return tessera::run_main([&]() -> int {
    if (argc > 1 && std::string_view(argv[1]) == "score") return score_main(argc, argv);
    become_main(argv);
  });
}
