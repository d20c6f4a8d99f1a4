#include "launcher/weights/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

#include "core/error.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using test_support::expect_error;
using test_support::read_file;
using test_support::TemporaryFolder;

class AtomicFileTarget : public ::testing::Test {
 protected:
  /// A device node of the test's own: the machine's are left alone whatever the code does. Skips
  /// the test if nodes cannot be made or opened here.
  fs::path make_node(const std::string& name, mode_t kind, unsigned major_number,
                     unsigned minor_number) {
    const fs::path path = folder_ / name;
    if (::mknod(path.c_str(), kind | 0666, makedev(major_number, minor_number)) != 0) return {};
    const int descriptor = ::open(path.c_str(), O_WRONLY);
    if (descriptor < 0 && kind == S_IFCHR) return {};
    ::close(descriptor);
    return path;
  }
  fs::file_type type_of(const fs::path& path) { return fs::symlink_status(path).type(); }
  size_t num_files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_.path()), {}));
  }

  TemporaryFolder folder_;
};

TEST_F(AtomicFileTarget, KeepsASymbolicLinkAndReplacesItsTarget) {
  fs::create_directory(folder_ / "elsewhere");
  test_support::write_file(folder_ / "elsewhere/target", "old");
  fs::create_symlink("elsewhere/target", folder_ / "link");
  fs::create_symlink("link", folder_ / "link of link");
  write_file(folder_ / "link of link", "new");
  EXPECT_EQ(type_of(folder_ / "link of link"), fs::file_type::symlink);
  EXPECT_EQ(type_of(folder_ / "link"), fs::file_type::symlink);
  EXPECT_EQ(type_of(folder_ / "elsewhere/target"), fs::file_type::regular);
  EXPECT_EQ(read_file(folder_ / "elsewhere/target"), "new");
  { AtomicFile(folder_ / "link").write("half"); }
  EXPECT_EQ(read_file(folder_ / "elsewhere/target"), "new");
}

TEST_F(AtomicFileTarget, MakesTheTargetOfALinkThatLeadsNowhere) {
  fs::create_symlink("not there yet", folder_ / "link");
  write_file(folder_ / "link", "new");
  EXPECT_EQ(type_of(folder_ / "link"), fs::file_type::symlink);
  EXPECT_EQ(read_file(folder_ / "not there yet"), "new");
}

TEST_F(AtomicFileTarget, WritesToADeviceWithoutReplacingIt) {
  const fs::path null = make_node("null", S_IFCHR, 1, 3);
  const fs::path full = make_node("full", S_IFCHR, 1, 7);
  if (null.empty() || full.empty()) GTEST_SKIP() << "no device nodes can be made here";
  expect_writable(null);
  write_file(null, "gone");
  EXPECT_EQ(type_of(null), fs::file_type::character);
  fs::create_symlink("null", folder_ / "link");
  write_file(folder_ / "link", "gone");
  EXPECT_EQ(type_of(null), fs::file_type::character);
  EXPECT_TRUE(is_written_directly(folder_ / "link"));
  expect_error<RuntimeError>([&] { write_file(full, "lost"); }, {"full", "No space left"});
  EXPECT_EQ(type_of(full), fs::file_type::character);
  EXPECT_EQ(num_files(), 3u);
}

TEST_F(AtomicFileTarget, RefusesABlockDeviceAndOthersThatAreNoFiles) {
  expect_error<RuntimeError>([&] { write_file(folder_.path(), "x"); }, {"got a folder"});
  fs::create_symlink("b", folder_ / "a");
  fs::create_symlink("a", folder_ / "b");
  expect_error<RuntimeError>([&] { write_file(folder_ / "a", "x"); }, {"loop of symbolic links"});
  if (::mknod((folder_ / "block").c_str(), S_IFBLK | 0666, makedev(7, 250)) != 0)
    GTEST_SKIP() << "no device nodes can be made here";
  expect_error<RuntimeError>([&] { write_file(folder_ / "block", "x"); }, {"got a block device"});
  EXPECT_EQ(type_of(folder_ / "block"), fs::file_type::block);
}

TEST_F(AtomicFileTarget, WritesToAFifo) {
  const fs::path fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::string got;
  std::thread reader([&] { got = read_file(fifo); });
  expect_writable(fifo);  // would end the reader's input if it opened the FIFO
  write_file(fifo, "through");
  reader.join();
  EXPECT_EQ(got, "through");
  EXPECT_EQ(type_of(fifo), fs::file_type::fifo);
}

TEST_F(AtomicFileTarget, WritesToAnOpenDescriptorByItsName) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  write_file("/dev/fd/" + std::to_string(pipe[1]), "one ");
  write_file("/proc/self/fd/" + std::to_string(pipe[1]), "two");
  ::close(pipe[1]);
  std::array<char, 16> bytes{};
  EXPECT_EQ(::read(pipe[0], bytes.data(), bytes.size()), 7);
  EXPECT_EQ(std::string(bytes.data()), "one two");
  ::close(pipe[0]);
  // A regular file that is open: the text goes where the descriptor stands.
  const int descriptor = ::open((folder_ / "log").c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_EQ(::write(descriptor, "before ", 7), 7);
  write_file("/dev/fd/" + std::to_string(descriptor), "between ");
  ASSERT_EQ(::write(descriptor, "after", 5), 5);
  ::close(descriptor);
  EXPECT_EQ(read_file(folder_ / "log"), "before between after");
}

TEST_F(AtomicFileTarget, ReportsAReaderThatHasGone) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  ::close(pipe[0]);
  expect_error<RuntimeError>([&] { write_file("/dev/fd/" + std::to_string(pipe[1]), "lost"); },
                             {"Broken pipe", "reader"});
  ::close(pipe[1]);
}

TEST_F(AtomicFileTarget, ProbesWithoutATrace) {
  test_support::write_file(folder_ / "a", "old");
  expect_writable(folder_ / "a");
  expect_writable(folder_ / "b");
  EXPECT_EQ(num_files(), 1u);
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  expect_error<RuntimeError>([&] { expect_writable(folder_ / "none/b"); }, {"No such file"});
}

}  // namespace
}  // namespace tessera
