#include "launcher/standard_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <iostream>
#include <string>
#include <system_error>

#include "core/error.h"

namespace tessera {

void hold_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // open() takes the lowest free number, which is this one. The wrong direction: every read from
    // standard input and every write to the others fails, as if they were still closed.
    const int held = ::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (held < 0) return;  // without /dev/null there is nothing that could be held open
  }
}

void flush_standard_output() {
  errno = 0;
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  const int error_number = errno;
  if (flushed && std::cout && std::ferror(stdout) == 0) return;
  const std::string reason =
      error_number == 0 ? "a failed write" : std::generic_category().message(error_number);
  throw RuntimeError(
      "standard output: expected to write everything that the command prints, got '" + reason +
      "'. Is it closed, or its disk full?");
}

}  // namespace tessera
