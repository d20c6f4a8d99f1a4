#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/weights/pickle/value.h"

namespace tessera::pickle {

/// A tensor as a view of one of the file's storages. Offset and strides count elements; every
/// element that they reach lies in the storage.
struct PickledTensor {
  std::string name;
  ElementType type = ElementType::kFloat32;
  std::vector<int64_t> shape, strides;
  int64_t offset = 0;
  size_t storage = 0;
};

/// Elements of one type, one after another, somewhere in the file.
struct PickledStorage {
  ElementType type = ElementType::kFloat32;
  uint64_t bytes = 0;
  std::string_view data;      // the bytes in the file; of an entry of a zip file: not set
  bool is_utf8_text = false;  // `data` is UTF-8 of which every character is a byte
  std::string entry;          // name in the zip file
};

/// What a reference to a storage (kStorageId) means: a part of it.
struct StorageView {
  size_t storage = 0;
  int64_t offset = 0, count = 0;  // elements
};
using StorageViews = std::map<ValueId, StorageView>;

struct ArrayCode;

/// Makes tensors of the values that stand for PyTorch's tensors and NumPy's arrays.
class TensorReader {
 public:
  /// NumPy's arrays add their data to `storages`. All must outlive this.
  TensorReader(const Pickle& pickle, const StorageViews& views,
               std::vector<PickledStorage>& storages, std::string file)
      : pickle_(pickle), views_(views), storages_(storages), file_(std::move(file)) {}

  /// Whether a value stands for a tensor or array of a type that weights have; says nothing of
  /// whether it is sound.
  bool is_tensor(ValueId id) const;
  /// What a value is if it stands for a tensor or array that weights cannot have (sparse,
  /// quantised, complex); "" for any other value.
  std::string other_tensor(ValueId id) const;
  /// The tensor; `name` begins messages. Throws DataError where it is not sound.
  PickledTensor read(ValueId id, const std::string& name);

 private:
  /// A call that a value stands for, seen through parameters and subclasses of tensors.
  struct Call {
    const Global* maker = nullptr;
    ValueId arguments = kNoValue, state = kNoValue;
  };
  Call call(ValueId id) const;
  [[noreturn]] void fail(const std::string& expected, const std::string& got) const;
  const std::vector<ValueId>& items_of_tuple(ValueId id) const;
  ValueId argument(ValueId arguments, size_t index, const std::string& what) const;
  int64_t number(ValueId id, const std::string& what) const;
  std::vector<int64_t> numbers(ValueId id, const std::string& what) const;
  void read_torch(const Call& call, PickledTensor& tensor) const;
  void read_array(const Call& call, PickledTensor& tensor);
  std::string_view array_code_text(ValueId type) const;
  const ArrayCode* array_code(ValueId type) const;
  ValueId array_type_of(const Call& call) const;
  ElementType array_type(ValueId type) const;
  size_t array_data(ValueId data, ElementType type);
  void expect_within(const PickledTensor& tensor, int64_t offset, int64_t count) const;

  const Pickle& pickle_;
  const StorageViews& views_;
  std::vector<PickledStorage>& storages_;
  std::map<std::pair<ValueId, ElementType>, size_t> array_storages_;  // data that was met before
  std::string file_, name_;
};

}  // namespace tessera::pickle
