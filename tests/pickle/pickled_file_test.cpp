#include "launcher/weights/pickle/pickled_file.h"

#include <cstring>
#include <map>

#include "tests/pickle/fixture.h"

namespace tessera::pickle {
namespace {

using test_support::fixture;
using test_support::fixtures;
using test_support::read_bytes;
using namespace std::string_literals;
using test_support::refusal;

/// Reads everything that a file has; a tensor that cannot be read is refused, as by every command.
void read_all(PickledFile& file, const std::string& name = "f") {
  for (const std::string& key : file.tables()) {
    const PickledTable table = file.table(key);
    if (!table.unsupported.empty()) throw DataError(name + ": " + table.unsupported.front().value);
    for (const PickledTensor& tensor : table.tensors) {
      std::vector<char> bytes(file.storage(tensor.storage).bytes);
      file.read(tensor.storage, bytes.data());
    }
  }
}

std::string refusal_of(std::string_view bytes) {
  return refusal([&] {
    PickledFile file(bytes, "f");
    read_all(file);
  });
}

std::map<std::string, std::string> by_name(const std::vector<OtherEntry>& others) {
  std::map<std::string, std::string> map;
  for (const auto& [name, value] : others) map[name] = value;
  return map;
}

TEST(PickledFile, NamesWhatStandsBesideTheModel) {
  for (const char* name : {"checkpoint.pth", "checkpoint_legacy.pth"}) {
    const PickledFile file(fixture(name));
    EXPECT_EQ(file.tables(), std::vector<std::string>{"model"});
    auto others = by_name(file.others());
    EXPECT_EQ(others.size(), 6u);
    EXPECT_EQ(others["epoch"], "integer 11");
    EXPECT_EQ(others["args"],
              "argparse.Namespace: lr, masks, output_dir, lr_drop_epochs, device, resume");
    EXPECT_EQ(others["optimizer"], "table of 2: state, param_groups");
    EXPECT_EQ(others["large"], "integer of 9 bytes");
  }
  EXPECT_EQ(PickledFile(fixture("checkpoint.pth")).format(), "PyTorch (zip)");
  EXPECT_EQ(PickledFile(fixture("checkpoint_legacy.pth")).format(), "PyTorch (legacy)");
  EXPECT_EQ(PickledFile(fixture("arrays_2.pkl")).format(), "pickle");
}

TEST(PickledFile, KeepsViewsAndSharedStorages) {
  PickledFile file(fixture("odd.pth"));
  std::map<std::string, PickledTensor> tensors;
  for (const auto& tensor : file.table("state_dict").tensors) tensors[tensor.name] = tensor;
  EXPECT_EQ(tensors["views.transposed"].strides, (std::vector<int64_t>{1, 6}));
  EXPECT_EQ(tensors["views.row"].offset, 12);
  EXPECT_EQ(tensors["views.repeated"].strides, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(tensors["shared.first"].storage, tensors["shared.second"].storage);
  EXPECT_EQ(tensors["types.bfloat16"].type, ElementType::kBfloat16);
}

TEST(PickledFile, ListsSeveralTables) {
  PickledFile file(fixture("two_tables.pth"));
  EXPECT_EQ(file.tables(), (std::vector<std::string>{"model", "model_ema"}));
  EXPECT_NE(refusal([&] { file.table("mode"); }).find("Did you mean 'model'?"), std::string::npos);
}

TEST(PickledFile, FindsATableByItsPath) {
  PickledFile file(fixture("nested.pth"));
  // The state dicts that are nearest to the root are listed, others are found by their paths.
  EXPECT_EQ(file.tables(), (std::vector<std::string>{"state.model", "state.ema"}));
  EXPECT_EQ(file.table("state.model").tensors.size(), 2u);
  EXPECT_EQ(file.table("state.optimizer.state.0").tensors.size(), 1u);
  EXPECT_EQ(by_name(file.others())["cfg"],
            "omegaconf.dictconfig.DictConfig: _metadata, _parent, _flags_cache, _content");
  EXPECT_NE(refusal([&] { file.table("state.modle"); }).find("It has: state.model, state.ema"),
            std::string::npos);
  // One level up is no state dict.
  EXPECT_NE(refusal([&] { file.table("state"); }), "");
}

TEST(PickledFile, ListsTensorsThatCannotBeRead) {
  PickledFile file(fixture("unsupported.pth"));
  const PickledTable table = file.table("model");
  EXPECT_EQ(table.tensors.size(), 1u);
  auto kinds = by_name(table.unsupported);
  EXPECT_EQ(kinds.size(), 4u);
  EXPECT_EQ(kinds["complex"], "a tensor of complex64");
  EXPECT_EQ(kinds["sparse"], "a tensor of torch._utils._rebuild_sparse_tensor");
  EXPECT_EQ(kinds["float8"], "a tensor of torch._utils._rebuild_tensor_v3");
  EXPECT_EQ(kinds["array"], "an array of NumPy's type 'c8'");
}

TEST(PickledFile, ReadsTensorsThatPickleItselfWrote) {
  for (const char* name : {"stored_2.pkl", "stored_4.pkl"}) {
    PickledFile file(fixture(name));
    std::map<std::string, PickledTensor> tensors;
    for (const auto& tensor : file.table("model").tensors) tensors[tensor.name] = tensor;
    ASSERT_EQ(tensors.size(), 3u) << name;
    // A view and its base are two storages of the same bytes; each is read.
    std::vector<float> numbers(6);
    ASSERT_EQ(file.storage(tensors["weight"].storage).bytes, sizeof(float) * numbers.size());
    file.read(tensors["weight"].storage, numbers.data());
    EXPECT_EQ(numbers[1], -2.875f);
  }
}

/// What each hostile fixture is refused for.
TEST(PickledFile, RefusesHostileFilesByName) {
  const std::map<std::string, std::vector<std::string>> kReasons{
      {"hostile_global.pth", {"data.pkl: byte", "'posix.system'", "Nothing was executed"}},
      {"hostile_stored.pkl", {"stored storage", "'posix.system'"}},
      {"hostile_global.pkl", {"'posix.system'"}},
      {"hostile_global_legacy.pth", {"'__builtin__.eval'"}},
      {"hostile_module.pth", {"'torch.nn.modules.container.Sequential'", "state_dict"}},
      {"hostile_sparse.pth", {"_rebuild_sparse_tensor"}},
      {"hostile_cycle.pkl", {"holds itself (a cycle)"}},
      {"hostile_size.pth", {"data/0", "expected 8589934588 bytes, got 256"}},
      {"hostile_checksum.pth", {"data/0", "CRC"}},
      {"hostile_compressed.pth", {"stored as it is"}},
      {"hostile_big_endian.pth", {"byteorder", "'big'"}},
      {"hostile_missing_storage.pth", {"data/0", "no such entry"}},
      {"hostile_repeated.pth", {"tensor 'w'", "8 times the file's size"}},
      {"hostile_torchscript.pth", {"TorchScript"}}};
  const auto files = fixtures(true);
  EXPECT_EQ(files.size(), kReasons.size());
  for (const auto& path : files) {
    const std::string message = refusal([&] {
      PickledFile file(path);
      read_all(file, path.string());
    });
    EXPECT_NE(message.find(path.string()), std::string::npos) << "no file in: " << message;
    for (const auto& reason : kReasons.at(path.filename().string()))
      EXPECT_NE(message.find(reason), std::string::npos) << reason << " is not in: " << message;
  }
}

TEST(PickledFile, RefusesFilesThatAreCutShortAnywhere) {
  for (const auto& path : fixtures(false)) {
    const std::string whole = read_bytes(path);
    if (path.filename() != "unsupported.pth") {
      ASSERT_EQ(refusal_of(whole), "") << path;
    }
    for (size_t size = 0; size < whole.size(); ++size)
      EXPECT_NE(refusal_of(std::string_view(whole).substr(0, size)), "") << path << ": " << size;
    // A zip file is found from its end; what stands behind it is a comment to some programs.
    if (!whole.starts_with("PK")) {
      EXPECT_NE(refusal_of(whole + "x"), "") << path << ": a byte more";
    }
  }
}

std::string legacy(const std::string& object, const std::string& keys,
                   const std::string& storages) {
  return std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8P\x19.", 15) +
         "\x80\x02M\xe9\x03." + "\x80\x02}." + object + keys + storages;
}

/// One tensor 'w' of a storage of four float32, in the format before the zip format.
std::string one_tensor(const std::string& offset, const std::string& shape,
                       const std::string& strides, const std::string& key = "U\x01k") {
  return legacy(
      "\x80\x02}(U\x01w"
      "ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\n" +
          key +
          "U\x03"
          "cpuK\x04NtQ" +
          offset + shape + strides + "\x89Ntq\x01Ru.",
      "\x80\x02]U\x01ka.", std::string("\x04\0\0\0\0\0\0\0", 8) + std::string(16, '\0'));
}

TEST(PickledFile, RefusesTensorsThatReachBeyondTheirStorage) {
  EXPECT_EQ(refusal_of(one_tensor("K\x01", "K\x03\x85", "K\x01\x85")), "");
  EXPECT_EQ(refusal_of(one_tensor("K\x04", "K\0\x85"s, "K\x01\x85")), "");
  const std::string most = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
  for (const std::string& bad :
       {one_tensor("K\x02", "K\x03\x85", "K\x01\x85"),
        one_tensor("K\x00"s, "K\x02\x85", "K\x04\x85"),
        one_tensor("K\x05", "K\0\x85"s, "K\x01\x85"), one_tensor(most, "K\x02\x85", most + "\x85"),
        one_tensor("K\x00"s, most + most + "\x86", "K\x01K\x01\x86"),
        one_tensor("J\xff\xff\xff\xff", "K\x01\x85", "K\x01\x85"),
        one_tensor("K\x00"s, "K\x02\x85", "J\xff\xff\xff\xff\x85"),
        one_tensor("K\x00"s, "K\x02\x85", "K\x01K\x01\x86"),
        one_tensor("K\x00"s, "N", "K\x01\x85")})
    EXPECT_NE(refusal_of(bad).find("tensor 'w'"), std::string::npos) << refusal_of(bad);
  EXPECT_NE(refusal_of(one_tensor("K\x01", "K\x03\x85", "K\x01\x85", "U\x01z")), "");
}

TEST(PickledFile, RefusesNamesThatAreGivenTwice) {
  const std::string array =
      "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01"
      "btR(K\x01K\x02\x85"
      "cnumpy\ndtype\nU\x02u1\x89\x88\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02xytb"s;
  EXPECT_EQ(refusal_of("\x80\x02}U\x01"
                       "a" +
                       array + "s."),
            "");
  EXPECT_NE(refusal_of("\x80\x02}U\x01"
                       "a" +
                       array +
                       "sU\x01"
                       "a" +
                       array + "s.")
                .find("'a'"),
            std::string::npos);
  std::string longer = array;  // three bytes of data for a shape of two
  longer.replace(longer.find("U\x02xy"), 4, "U\x03xyz");
  EXPECT_NE(refusal_of("\x80\x02}U\x01"
                       "a" +
                       longer + "s.")
                .find("expected 2 elements"),
            std::string::npos);
  EXPECT_NE(refusal_of("\x80\x02}N" + array + "s."), "");
  EXPECT_NE(refusal_of("\x80\x02}T\xe9\x03\0\0"s + std::string(1001, 'n') + array + "s."), "");
}

TEST(PickledFile, SaysWhatAFileWithoutTensorsHolds) {
  EXPECT_NE(refusal_of("}S'epoch'\nI3\ns.").find("'epoch' (integer 3)"), std::string::npos);
  EXPECT_NE(refusal_of("(lI1\na.").find("list of 1"), std::string::npos);
  EXPECT_NE(refusal([] { PickledFile file(std::filesystem::path("no such file")); }), "");
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  EXPECT_NE(refusal_of(tar).find("tar"), std::string::npos);
}

TEST(PickledFile, TellsItsFilesFromOthers) {
  for (const auto& path : fixtures(false))
    EXPECT_TRUE(PickledFile::begins_like_one(read_bytes(path).substr(0, 16))) << path;
  EXPECT_FALSE(PickledFile::begins_like_one(read_bytes(fixture("odd.safetensors")).substr(0, 16)));
  // A safetensors header of 0x80 bytes, whose length looks like PROTO.
  EXPECT_FALSE(PickledFile::begins_like_one("\x80\0\0\0\0\0\0\0{\""s));
  EXPECT_FALSE(PickledFile::begins_like_one(""));
}

}  // namespace
}  // namespace tessera::pickle
