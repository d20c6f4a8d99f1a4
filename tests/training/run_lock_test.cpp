#include "launcher/training/run_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

#include "core/error.h"
#include "launcher/event_log.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

using test_support::expect_error;
using test_support::TemporaryFolder;

TEST(RunLock, RefusesASecondAndNamesTheFirst) {
  TemporaryFolder folder;
  EventLog log;
  {
    const RunLock first(folder / "run", log);
    const std::string process = "process " + std::to_string(getpid()) + " on ";
    expect_error<RuntimeError>([&] { RunLock(folder / "run", log); },
                               {"run: expected", process.c_str(), "since 20", "--output"});
    const RunLock other(folder / "other", log);
  }
  const RunLock again(folder / "run", log);
}

TEST(RunLock, EndsWithItsProcessHoweverThatEnds) {
  TemporaryFolder folder;
  EventLog log;
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const RunLock lock(folder / "run", log);
    if (::write(pipe[1], "x", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char ready = 0;
  ASSERT_EQ(::read(pipe[0], &ready, 1), 1);
  const std::string process = "process " + std::to_string(child) + " on ";
  expect_error<RuntimeError>([&] { RunLock(folder / "run", log); }, {process.c_str()});
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  const RunLock lock(folder / "run", log);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

}  // namespace
}  // namespace tessera
