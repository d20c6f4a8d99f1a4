#include "launcher/weights/safetensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "core/error.h"
#include "launcher/weights/atomic_file.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

using test_support::expect_error;
using test_support::read_file;
using test_support::TemporaryFolder;
using test_support::write_file;

TensorList samples() {
  return {{"half", at::arange(3, at::kHalf)},
          {"double", at::arange(4, at::kDouble).reshape({2, 2})},
          {"brain", at::arange(5, at::kBFloat16)},
          {"float", at::arange(6, at::kFloat).reshape({2, 3}).t()},
          {"long", at::arange(-2, 2, at::kLong)},
          {"int", at::arange(3, at::kInt)},
          {"short", at::arange(3, at::kShort)},
          {"char", at::arange(-1, 2, at::kChar)},
          {"byte", at::arange(5, at::kByte)},
          {"bool", at::tensor({1, 0, 1}).to(at::kBool)},
          {"scalar", at::scalar_tensor(7.5)},
          {"empty", at::empty({0, 3})}};
}

/// A file of that header and so many bytes of data.
std::string file_with(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header +
         std::string(data_bytes, '\1');
}

std::string entry(const std::string& name, int begin, int end) {
  return "\"" + name + "\":{\"dtype\":\"U8\",\"shape\":[" + std::to_string(end - begin) +
         "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

class HostileFile : public testing::Test {
 protected:
  void expect_refused(const std::string& content, std::initializer_list<const char*> parts) {
    const auto file = folder_ / "hostile.safetensors";
    write_file(file, content);
    expect_error<DataError>([&] { read_safetensors(file); }, parts);
    expect_error<DataError>([&] { read_safetensors(file); }, {"hostile.safetensors: "});
  }
  TemporaryFolder folder_;
};

TEST(Safetensors, KeepsEveryTypeOrderAndMetadata) {
  TemporaryFolder folder;
  const TensorList written = samples();
  write_safetensors(folder / "a.safetensors", written, {{"who", "tester \"ü\""}});
  const SafetensorsFile read = read_safetensors(folder / "a.safetensors");
  ASSERT_EQ(read.tensors.size(), written.size());
  for (size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(read.tensors[i].first, written[i].first);
    EXPECT_EQ(read.tensors[i].second.scalar_type(), written[i].second.scalar_type());
    EXPECT_TRUE(read.tensors[i].second.equal(written[i].second)) << written[i].first;
  }
  EXPECT_EQ(read.metadata, (TensorMetadata{{"who", "tester \"ü\""}}));
  EXPECT_EQ(read.find("scalar")->item<float>(), 7.5f);
  EXPECT_EQ(read.find("none"), nullptr);
}

TEST(Safetensors, AlignsEveryTensorInTheFile) {
  TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", samples());
  const SafetensorsHeader header = read_safetensors_header(folder / "a.safetensors");
  for (const TensorEntry& entry : header.entries)
    EXPECT_EQ((header.data_offset + entry.begin) % c10::elementSize(entry.type), 0u) << entry.name;
}

TEST(Safetensors, ReadsAFileOfNothing) {
  TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {});
  EXPECT_TRUE(read_safetensors(folder / "a.safetensors").tensors.empty());
}

TEST(Safetensors, RefusesToWriteWhatItCouldNotRead) {
  TemporaryFolder folder;
  const auto file = folder / "a.safetensors";
  const at::Tensor one = at::ones({1});
  expect_error<RuntimeError>([&] { write_safetensors(file, {{"x", one}, {"x", one}}); }, {"'x'"});
  expect_error<RuntimeError>([&] { write_safetensors(file, {{"__metadata__", one}}); }, {"taken"});
  expect_error<RuntimeError>(
      [&] {
        write_safetensors(file, {{"z", at::zeros({1}, at::kComplexFloat)}});
      },
      {"'z'", "ComplexFloat"});
  expect_error<RuntimeError>([&] { write_safetensors(file, {{"\xff", one}}); }, {"UTF-8"});
  expect_error<RuntimeError>([&] { write_safetensors(file, {{"u", at::Tensor()}}); }, {"'u'"});
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Safetensors, SaysWhereItCannotWrite) {
  TemporaryFolder folder;
  expect_error<RuntimeError>(
      [&] {
        write_safetensors(folder / "none" / "a.safetensors", {{"x", at::ones({1})}});
      },
      {"a.safetensors", "No such file or directory"});
}

TEST(Safetensors, LeavesTheOldFileWholeWhereTheDiskIsFull) {
  TemporaryFolder folder;
  const auto file = folder / "a.safetensors";
  write_safetensors(file, {{"x", at::ones({4})}});
  const std::string before = read_file(file);
  // A limit on the size of files fails in write() as a full disk does.
  rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{1 << 16, limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  expect_error<RuntimeError>(
      [&] {
        write_safetensors(file, {{"x", at::ones({1 << 20})}});
      },
      {"a.safetensors", "File too large"});
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(file), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  TemporaryFolder folder;
  { AtomicFile(folder / "a").write("half"); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_TRUE(is_temporary_name("a.tmp-12"));
  EXPECT_FALSE(is_temporary_name("a.tmp-"));
  EXPECT_FALSE(is_temporary_name("a.tmp-x1"));
}

TEST_F(HostileFile, IsRefusedWhenMissingOrAFolder) {
  expect_error<DataError>([&] { read_safetensors(folder_ / "none"); }, {"none", "No such file"});
  expect_error<DataError>([&] { read_safetensors(folder_.path()); }, {"folder"});
}

TEST_F(HostileFile, IsRefusedWhenCutAtAnyLength) {
  write_safetensors(folder_ / "a.safetensors", {{"x", at::ones({2})}, {"y", at::ones({1})}});
  const std::string whole = read_file(folder_ / "a.safetensors");
  for (size_t length = 0; length < whole.size(); ++length)
    expect_refused(whole.substr(0, length), {length < 8 ? "cut short" : "expected"});
  expect_refused(whole.substr(0, whole.size() - 1), {"tensor 'y'", "cut short"});
  expect_refused(whole + "x", {"bytes of data"});
}

TEST_F(HostileFile, IsRefusedWithAnAbsurdHeaderLength) {
  for (const uint64_t length : {uint64_t{100}, uint64_t{1} << 40, ~uint64_t{0}})
    expect_refused(std::string(reinterpret_cast<const char*>(&length), 8) + "{}", {"length"});
  expect_refused("PK\x03\x04 archive", {"PyTorch file"});
}

TEST_F(HostileFile, IsRefusedWithOverlapsGapsAndBytesOutside) {
  expect_refused(file_with("{" + entry("a", 0, 4) + "," + entry("b", 2, 6) + "}", 6),
                 {"tensor 'b'", "overlaps"});
  expect_refused(file_with("{" + entry("a", 0, 4) + "," + entry("b", 0, 4) + "}", 4), {"overlaps"});
  expect_refused(file_with("{" + entry("a", 0, 2) + "," + entry("b", 4, 6) + "}", 6),
                 {"tensor 'b'", "no tensor"});
  expect_refused(file_with("{" + entry("a", 0, 9) + "}", 6), {"tensor 'a'", "9"});
}

TEST_F(HostileFile, OfATypeThatTensorsDoNotHaveIsRefusedByNameOrListed) {
  const std::string text = file_with(R"({"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},)"
                                     R"("b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})",
                                     4);
  expect_refused(text, {"tensor 'a'", "F8_E4M3", "BF16"});
  const SafetensorsFile file =
      read_safetensors(folder_ / "hostile.safetensors", /*with_unsupported=*/true);
  ASSERT_EQ(file.tensors.size(), 1u);
  EXPECT_EQ(file.tensors[0].first, "b");
  ASSERT_EQ(file.unsupported.size(), 1u);
  EXPECT_EQ(file.unsupported[0].second, "a tensor of F8_E4M3");
}

TEST_F(HostileFile, IsRefusedWithAWrongEntry) {
  auto with = [](const std::string& value) { return file_with("{\"a\":" + value + "}", 4); };
  expect_refused(with(R"({"dtype":"F8","shape":[4],"data_offsets":[0,4]})"),
                 {"tensor 'a'", "\"F8\"", "BF16"});
  expect_refused(with(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), {"8 bytes"});
  expect_refused(with(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), {"-1"});
  expect_refused(with(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})"), {"1.0"});
  expect_refused(with(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"), {"tensor 'a'"});
  expect_refused(with(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})"), {"tensor 'a'"});
  expect_refused(with(R"({"dtype":"F32","shape":[1]})"), {"tensor 'a'"});
  expect_refused(with(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})"), {"other keys"});
  expect_refused(with(R"({"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,4]})"),
                 {"fits into memory"});
  expect_refused(with(R"({"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,0]})"),
                 {"fits into memory"});
  expect_refused(with("3"), {"tensor 'a'"});
  expect_refused(file_with(R"({"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", 0),
                 {"tensor 'a'"});
  std::string boolean = file_with(R"({"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", 1);
  boolean.back() = '\2';
  expect_refused(boolean, {"tensor 'a'", "BOOL"});
}

TEST_F(HostileFile, IsRefusedWithAWrongHeader) {
  expect_refused(file_with("{" + entry("a", 0, 2) + "," + entry("a", 2, 4) + "}", 4),
                 {"'a' twice"});
  expect_refused(file_with("[]", 0), {"table"});
  expect_refused(file_with("{", 0), {"JSON"});
  expect_refused(file_with("{\"\xff\":1}", 0), {"JSON"});
  expect_refused(file_with(std::string(100000, '['), 0), {"JSON"});
  expect_refused(file_with(R"({"__metadata__":{"a":1}})", 0), {"__metadata__"});
  expect_refused(file_with(R"({"__metadata__":"a"})", 0), {"__metadata__"});
}

TEST_F(HostileFile, EveryFlippedByteIsReadOrRefusedButNeverMore) {
  write_safetensors(folder_ / "a.safetensors",
                    {{"x", at::ones({2})}, {"y", at::ones({3}, at::kBool)}}, {{"k", "v"}});
  const std::string whole = read_file(folder_ / "a.safetensors");
  const auto file = folder_ / "flipped.safetensors";
  uint64_t random = 12345;
  int refused = 0;
  for (size_t place = 0; place < whole.size(); ++place) {
    for (int round = 0; round < 4; ++round) {
      random = random * 6364136223846793005ull + 1442695040888963407ull;
      std::string flipped = whole;
      flipped[place] = static_cast<char>(flipped[place] ^ (1 + (random >> 33) % 255));
      write_file(file, flipped);
      try {
        const SafetensorsFile read = read_safetensors(file);
        for (const auto& [name, tensor] : read.tensors) EXPECT_LE(tensor.nbytes(), 8u);
      } catch (const DataError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace tessera
