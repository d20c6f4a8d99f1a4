#include "launcher/weights/pickle/pickled_file.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "core/error.h"
#include "launcher/data/mapped_file.h"
#include "launcher/weights/pickle/container.h"
#include "launcher/weights/pickle/describe.h"
#include "launcher/weights/pickle/text.h"

namespace tessera::pickle {

class PickledFile::Content {
 public:
  Content(std::string_view bytes, std::string file)
      : file_(std::move(file)),
        size_(bytes.size()),
        container_(read_container(bytes, file_)),
        reader_(container_.pickle, container_.views, container_.storages, file_) {
    list_tables();
  }

  PickledTable table(const std::string& key);
  void read(size_t storage, void* to) const;

  std::string file_;
  uint64_t size_;
  Container container_;
  TensorReader reader_;
  std::vector<std::string> keys_;
  std::vector<OtherEntry> others_;

 private:
  void list_tables();
  const std::vector<ValueId>& entries(ValueId id, const std::string& what) const;
  OtherEntry other(ValueId key, ValueId value) const {
    return {key_text(container_.pickle, key), describe(container_.pickle, value)};
  }
  bool has_tensors(ValueId id) const;
  void list_tables_below(const std::vector<ValueId>& items);
  std::optional<ValueId> find_table(ValueId root, std::string_view path, size_t depth) const;
  void account(const PickledTensor& tensor, uint64_t& total) const;

  std::vector<ValueId> roots_;  // of keys_
};

/// Key, value, key, value, ... of a mapping.
const std::vector<ValueId>& PickledFile::Content::entries(ValueId id,
                                                          const std::string& what) const {
  const Pickle& pickle = container_.pickle;
  if (pickle.is_inert(pickle[id]))
    throw DataError(file_ + ": expected " + what + ", got an object of the class '" +
                    text_of(*pickle.maker(pickle[id])) + "'. Save its state_dict.");
  if (!pickle.is_mapping(pickle[id]))
    throw DataError(file_ + ": expected " + what + ", got " + describe(pickle, id) +
                    ". Save a model's state_dict.");
  const auto& items = pickle.items_of(pickle[id]);
  if (items.size() / 2 > kMostEntries)
    throw DataError(file_ + ": expected at most " + std::to_string(kMostEntries) +
                    " entries in a table, got " + std::to_string(items.size() / 2) + ".");
  return items;
}

bool PickledFile::Content::has_tensors(ValueId id) const {
  const Pickle& pickle = container_.pickle;
  if (!pickle.is_mapping(pickle[id])) return false;
  const auto& items = pickle.items_of(pickle[id]);
  for (size_t i = 1; i < items.size(); i += 2)
    if (reader_.is_tensor(items[i]) || !reader_.other_tensor(items[i]).empty()) return true;
  return false;
}

/// State dicts deeper in the file, those that are nearest to the root. Few tables and levels are
/// searched, because their paths take memory; --key finds all others.
void PickledFile::Content::list_tables_below(const std::vector<ValueId>& items) {
  constexpr size_t kMostSearched = 1000, kDeepest = 6;
  struct Level {
    std::string path;
    ValueId id;
  };
  const Pickle& pickle = container_.pickle;
  std::vector<Level> level;
  std::set<ValueId> seen;
  const auto add = [&](std::vector<Level>& to, const std::string& path,
                       const std::vector<ValueId>& of) {
    for (size_t i = 0; i + 1 < of.size() && to.size() < kMostSearched; i += 2)
      if (pickle.is_mapping(pickle[of[i + 1]]) && seen.insert(of[i + 1]).second)
        to.push_back({path + key_text(pickle, of[i]), of[i + 1]});
  };
  add(level, "", items);
  for (size_t depth = 0; depth < kDeepest && !level.empty() && keys_.empty(); ++depth) {
    std::vector<Level> next;
    for (const Level& table : level) add(next, table.path + ".", pickle.items_of(pickle[table.id]));
    for (const Level& table : next) {
      if (keys_.size() == kMostTables || !has_tensors(table.id)) continue;
      keys_.push_back(table.path);
      roots_.push_back(table.id);
    }
    level = std::move(next);
  }
}

/// The state dict that a path with dots leads to. Keys may themselves have dots.
std::optional<ValueId> PickledFile::Content::find_table(ValueId root, std::string_view path,
                                                        size_t depth) const {
  constexpr size_t kDeepest = 32;
  const Pickle& pickle = container_.pickle;
  if (!pickle.is_mapping(pickle[root]) || depth > kDeepest) return std::nullopt;
  const auto& items = pickle.items_of(pickle[root]);
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const std::string key = key_text(pickle, items[i]);
    if (key == path && has_tensors(items[i + 1])) return items[i + 1];
    if (key.empty() || path.size() <= key.size() || !path.starts_with(key) ||
        path[key.size()] != '.')
      continue;
    const auto found = find_table(items[i + 1], path.substr(key.size() + 1), depth + 1);
    if (found) return found;
  }
  return std::nullopt;
}

void PickledFile::Content::list_tables() {
  const ValueId root = container_.pickle.root;
  const auto& items = entries(root, "a table of tensors or of such tables");
  std::set<ValueId> seen;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    // A table that stands under several keys is searched once.
    if (!seen.insert(items[i + 1]).second || !has_tensors(items[i + 1])) {
      others_.push_back(other(items[i], items[i + 1]));
      continue;
    }
    if (keys_.size() == kMostTables)
      throw DataError(file_ + ": expected at most " + std::to_string(kMostTables) +
                      " tables of tensors, got more.");
    keys_.push_back(key_text(container_.pickle, items[i]));
    roots_.push_back(items[i + 1]);
  }
  if (!keys_.empty()) {
    const std::set<std::string> unique(keys_.begin(), keys_.end());
    if (unique.size() != keys_.size())
      throw DataError(file_ + ": expected every table's key once, got one twice.");
    return;
  }
  if (!has_tensors(root)) list_tables_below(items);
  if (!keys_.empty()) return;
  if (!has_tensors(root)) {
    std::vector<std::string> names;
    for (const OtherEntry& entry : others_)
      if (names.size() < 20) names.push_back(quote(entry.name) + " (" + entry.value + ")");
    throw DataError(file_ + ": expected tensors, in the file's table or in a table of it, got: " +
                    join(names) + ".");
  }
  keys_ = {""};
  roots_ = {root};
  others_.clear();
}

/// Tensors may share storages, and repeat elements by a stride of 0: a few bytes can stand for any
/// size, which a program that copies them would have to have.
void PickledFile::Content::account(const PickledTensor& tensor, uint64_t& total) const {
  uint64_t bytes = element_facts(tensor.type).bytes;
  bool overflows = false;
  for (const int64_t size : tensor.shape)
    overflows = overflows || __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes);
  const uint64_t most = kMostExpansion * size_ + kSlackBytes;
  if (overflows || __builtin_add_overflow(total, bytes, &total) || total > most)
    throw DataError(file_ + ": tensor " + quote(tensor.name) +
                    ": expected tensors that together take at most " + std::to_string(most) +
                    " bytes, " + std::to_string(kMostExpansion) +
                    " times the file's size, got more. The file is damaged or harmful.");
}

PickledTable PickledFile::Content::table(const std::string& key) {
  const auto found = std::find(keys_.begin(), keys_.end(), key);
  std::optional<ValueId> root;
  if (found != keys_.end())
    root = roots_[found - keys_.begin()];
  else
    root = find_table(container_.pickle.root, key, 0);
  if (!root && keys_.front().empty())
    throw DataError(file_ + ": expected a table of tensors named " + quote(key) +
                    ", got a file that is one table. Leave the key away.");
  if (!root)
    throw DataError(file_ + ": expected a table of tensors named " + quote(key) + ", got none." +
                    suggestion(key, keys_) + " It has: " + join(keys_) + ".");
  const auto& items = entries(*root, "a table of tensors");
  PickledTable table;
  std::set<std::string> names;
  uint64_t total = 0;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const Kind kind = container_.pickle[items[i]].kind;
    const std::string name = key_text(container_.pickle, items[i]);
    if (kind != Kind::kText && kind != Kind::kLatin1Text && kind != Kind::kInteger)
      throw DataError(file_ + ": expected names as keys of tensors, got " +
                      describe(container_.pickle, items[i]) + ".");
    if (container_.pickle[items[i]].text.size() > kLongestName)
      throw DataError(file_ + ": tensor " + quote(name) + ": expected a name of at most " +
                      std::to_string(kLongestName) + " bytes, got a longer one.");
    if (!names.insert(name).second)
      throw DataError(file_ + ": tensor " + quote(name) +
                      ": expected every name once, got it twice.");
    if (const std::string kind = reader_.other_tensor(items[i + 1]); !kind.empty()) {
      table.unsupported.push_back({name, kind});
      continue;
    }
    if (!reader_.is_tensor(items[i + 1])) {
      table.others.push_back(other(items[i], items[i + 1]));
      continue;
    }
    table.tensors.push_back(reader_.read(items[i + 1], name));
    account(table.tensors.back(), total);
  }
  return table;
}

void PickledFile::Content::read(size_t index, void* to) const {
  const PickledStorage& storage = container_.storages[index];
  if (!storage.entry.empty()) {
    container_.archive->read(storage.entry, *container_.archive->find(storage.entry), to);
  } else if (storage.is_utf8_text) {
    std::string bytes;
    if (!to_latin1(storage.data, bytes) || bytes.size() != storage.bytes)
      throw DataError(file_ +
                      ": an array's data: expected bytes as text in Latin-1, got characters "
                      "beyond it. The file is damaged.");
    std::memcpy(to, bytes.data(), bytes.size());
  } else if (storage.bytes > 0) {
    std::memcpy(to, storage.data.data(), storage.bytes);
  }
  const auto* bytes = static_cast<const uint8_t*>(to);
  if (storage.type == ElementType::kBool &&
      std::any_of(bytes, bytes + storage.bytes, [](uint8_t byte) { return byte > 1; }))
    throw DataError(file_ +
                    ": a tensor of bool: expected bytes of 0 or 1, got others. The file is "
                    "damaged.");
}

bool PickledFile::begins_like_one(std::string_view beginning) {
  // Protocols from 2 on begin with PROTO; those before with the root's MARK or container. A
  // safetensors file has '{' in its ninth byte.
  if (beginning.size() > 8 && beginning[8] == '{' && !beginning.starts_with("PK")) return false;
  return beginning.starts_with("PK") ||
         (!beginning.empty() &&
          (beginning[0] == '\x80' || beginning[0] == '(' || beginning[0] == '}'));
}

PickledFile::PickledFile(std::string_view bytes, std::string name)
    : content_(std::make_unique<Content>(bytes, std::move(name))) {}

PickledFile::PickledFile(const std::filesystem::path& file)
    : mapping_(std::make_unique<data::MappedFile>(file)) {
  // An empty file is read as no bytes, and refused for that.
  std::error_code error;
  if (mapping_->text().empty() && !std::filesystem::is_regular_file(file, error))
    throw DataError(file.string() + ": expected a file that can be read, got " +
                    (error ? "'" + error.message() + "'" : std::string("none")) + ".");
  content_ = std::make_unique<Content>(mapping_->text(), file.string());
}

PickledFile::~PickledFile() = default;

const std::string& PickledFile::format() const {
  return content_->container_.format;
}
const std::vector<std::string>& PickledFile::tables() const {
  return content_->keys_;
}
const std::vector<OtherEntry>& PickledFile::others() const {
  return content_->others_;
}
PickledTable PickledFile::table(const std::string& key) {
  return content_->table(key);
}
const PickledStorage& PickledFile::storage(size_t index) const {
  return content_->container_.storages[index];
}
void PickledFile::read(size_t storage, void* to) const {
  content_->read(storage, to);
}

}  // namespace tessera::pickle
