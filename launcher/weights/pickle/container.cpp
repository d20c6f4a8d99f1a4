#include "launcher/weights/pickle/container.h"

#include <cstring>
#include <limits>

#include "core/error.h"
#include "launcher/weights/pickle/describe.h"
#include "launcher/weights/pickle/machine.h"
#include "launcher/weights/pickle/text.h"

namespace tessera::pickle {
namespace {

// The first pickle of PyTorch's format before the zip format: 0x1950a86a20f9469cfc6c.
constexpr std::string_view kLegacyMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr int64_t kLegacyProtocol = 1001;
constexpr size_t kTarMagicAt = 257;

[[noreturn]] void fail(const std::string& file, const std::string& expected,
                       const std::string& got) {
  throw DataError(file + ": expected " + expected + ", got " + got +
                  ". The file is damaged or harmful; nothing of it was executed.");
}

/// ("storage", type, key, device, count) and, before the zip format, a part of it as a sixth.
struct StorageId {
  std::string key;
  ElementType type = ElementType::kFloat32;
  int64_t count = 0;
  ValueId part = kNoValue;
};

class StorageIds {
 public:
  StorageIds(const Pickle& pickle, std::string file) : pickle_(pickle), file_(std::move(file)) {}

  StorageId parse(ValueId reference) const {
    const auto& items = pickle_.items_of(pickle_[pickle_[reference].arguments]);
    if (items.size() < 5 || key_text(pickle_, items[0]) != "storage")
      fail(file_, "a reference to a storage of numbers",
           items.empty() ? "another one" : describe(pickle_, items[0]));
    const Value& type = pickle_[items[1]];
    if (type.kind != Kind::kGlobal || type.global->role != Role::kStorage)
      fail(file_, "a storage's type", describe(pickle_, items[1]));
    StorageId id;
    id.type = type.global->type;
    id.key = key_text(pickle_, items[2]);
    const int64_t most = std::numeric_limits<int64_t>::max() / 8;
    const Value& count = pickle_[items[4]];
    if (count.kind != Kind::kInteger || count.integer < 0 || count.integer > most)
      fail(file_, "a storage's number of elements", describe(pickle_, items[4]));
    id.count = count.integer;
    if (items.size() > 5 && pickle_[items[5]].kind != Kind::kNone) id.part = items[5];
    return id;
  }

  /// (key, offset, count) of a part.
  StorageView part(const StorageId& id, size_t storage) const {
    if (id.part == kNoValue) return {storage, 0, id.count};
    const auto& items = pickle_.items_of(pickle_[id.part]);
    for (size_t i = 1; i < 3; ++i)
      if (items.size() != 3 || pickle_[items[i]].kind != Kind::kInteger ||
          pickle_[items[i]].integer < 0 || pickle_[items[i]].integer > id.count)
        fail(file_, "a part within its storage", describe(pickle_, id.part));
    const int64_t offset = pickle_[items[1]].integer, count = pickle_[items[2]].integer;
    if (offset + count > id.count)
      fail(file_, "a part within its storage", describe(pickle_, id.part));
    return {storage, offset, count};
  }

 private:
  const Pickle& pickle_;
  std::string file_;
};

/// Every storage once, by its key; what each reference means.
std::map<std::string, size_t> list_storages(Container& container, const std::string& file) {
  const StorageIds ids(container.pickle, file);
  std::map<std::string, size_t> by_key;
  for (const ValueId reference : container.pickle.storage_ids) {
    const StorageId id = ids.parse(reference);
    const uint64_t bytes = static_cast<uint64_t>(id.count) * element_facts(id.type).bytes;
    const auto [found, is_new] = by_key.emplace(id.key, container.storages.size());
    if (is_new) {
      PickledStorage storage;
      storage.type = id.type;
      storage.bytes = bytes;
      container.storages.push_back(storage);
    } else if (const PickledStorage& known = container.storages[found->second];
               known.type != id.type || known.bytes != bytes) {
      fail(file, "one type and size for storage " + quote(id.key), "two");
    }
    container.views[reference] = ids.part(id, found->second);
  }
  return by_key;
}

/// The folder that all entries of torch.save's zip file are in, with its slash.
std::string find_folder(const ZipArchive& archive, const std::string& file) {
  std::string folder;
  for (const auto& [name, entry] : archive.entries()) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos || name.substr(slash) != "/data.pkl") continue;
    if (!folder.empty()) fail(file, "one data.pkl in the zip file", "two");
    folder = name.substr(0, slash + 1);
  }
  if (folder.empty())
    throw DataError(file +
                    ": expected a zip file of torch.save with an entry data.pkl, got one of " +
                    std::to_string(archive.entries().size()) + " others.");
  if (archive.find(folder + "constants.pkl") != nullptr)
    throw DataError(file +
                    ": expected weights, got a TorchScript program. Save the state_dict of "
                    "the model it was made from.");
  return folder;
}

Container read_zip(std::string_view bytes, const std::string& file) {
  Container container;
  container.format = "PyTorch (zip)";
  container.archive = std::make_unique<ZipArchive>(bytes, file);
  const ZipArchive& archive = *container.archive;
  const std::string folder = find_folder(archive, file);
  if (const auto* order = archive.find(folder + "byteorder"))
    if (const std::string text = archive.read(folder + "byteorder", *order); text != "little")
      throw DataError(file + ": byteorder: expected 'little', got " + quote(text) + ".");
  const std::string name = folder + "data.pkl";
  container.text = std::make_unique<const std::string>(archive.read(name, *archive.find(name)));
  container.pickle =
      read_pickle(*container.text, {.file = file + ": " + name, .with_storages = true});
  for (const auto& [key, index] : list_storages(container, file)) {
    PickledStorage& storage = container.storages[index];
    storage.entry = folder + "data/" + key;
    const ZipArchive::Entry* entry = archive.find(storage.entry);
    if (entry == nullptr || entry->size != storage.bytes)
      throw DataError(file + ": zip entry " + quote(storage.entry) + ": expected " +
                      std::to_string(storage.bytes) + " bytes, got " +
                      (entry == nullptr ? "no such entry" : std::to_string(entry->size)) +
                      ". The file is damaged or harmful.");
  }
  return container;
}

/// Reads the pickles and storages of PyTorch's older format one after another.
class LegacyReader {
 public:
  LegacyReader(std::string_view bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  Pickle next(bool with_storages = false) {
    Pickle pickle = read_pickle(bytes_.substr(at_),
                                {.file = file_, .offset = at_, .with_storages = with_storages});
    at_ += pickle.size;
    return pickle;
  }

  /// An eight-byte count of elements, then they.
  void read_storage(const std::string& key, PickledStorage& storage) {
    const uint64_t width = element_facts(storage.type).bytes;
    int64_t count = 0;
    if (bytes_.size() - at_ >= sizeof(count)) {
      std::memcpy(&count, bytes_.data() + at_, sizeof(count));
      at_ += sizeof(count);
      if (count >= 0 && static_cast<uint64_t>(count) == storage.bytes / width &&
          storage.bytes <= bytes_.size() - at_) {
        storage.data = bytes_.substr(at_, storage.bytes);
        at_ += storage.bytes;
        return;
      }
    }
    fail(file_,
         "storage " + quote(key) + " with " + std::to_string(storage.bytes / width) +
             " elements in the file's " + std::to_string(bytes_.size()) + " bytes",
         "another number or the end of the file");
  }

  void expect_end() const {
    if (at_ != bytes_.size())
      fail(file_, "the end of the file after " + std::to_string(at_) + " bytes",
           std::to_string(bytes_.size() - at_) + " more");
  }

 private:
  std::string_view bytes_;
  const std::string& file_;
  size_t at_ = 0;
};

/// What comes after the magic number: version, system, object, keys of storages, storages.
Container read_legacy(LegacyReader& reader, const std::string& file) {
  Container container;
  container.format = "PyTorch (legacy)";
  const Pickle version = reader.next();
  if (version[version.root].kind != Kind::kInteger ||
      version[version.root].integer != kLegacyProtocol)
    fail(file, "version " + std::to_string(kLegacyProtocol), describe(version, version.root));
  const Pickle system = reader.next();
  const auto& facts = system.items_of(system[system.root]);
  for (size_t i = 0; i + 1 < facts.size(); i += 2) {
    const Value& value = system[facts[i + 1]];
    if (key_text(system, facts[i]) == "little_endian" &&
        (value.kind != Kind::kBool || value.integer == 0))
      throw DataError(file + ": little_endian: expected true, got " +
                      describe(system, facts[i + 1]) + ".");
  }
  container.pickle = reader.next(true);
  std::map<std::string, size_t> missing = list_storages(container, file);
  const Pickle keys = reader.next();
  if (keys[keys.root].kind != Kind::kList)
    fail(file, "a list of storages", describe(keys, keys.root));
  for (const ValueId item : keys.items_of(keys[keys.root])) {
    const std::string key = key_text(keys, item);
    const auto found = missing.find(key);
    if (found == missing.end()) fail(file, "storages that tensors use, each once", quote(key));
    reader.read_storage(key, container.storages[found->second]);
    missing.erase(found);
  }
  if (!missing.empty()) fail(file, "storage " + quote(missing.begin()->first), "no such storage");
  reader.expect_end();
  return container;
}

/// Tensors that pickle itself wrote, not torch.save: each storage is bytes that hold a whole file
/// in the format before the zip format, with that storage alone.
class StoredStorages {
 public:
  StoredStorages(Container& container, const std::string& file)
      : container_(container), file_(file) {}

  void read_all() {
    const size_t count = container_.pickle.values.size();
    for (size_t i = 0; i < count; ++i) {
      const auto id = static_cast<ValueId>(i);
      const Value& value = container_.pickle[id];
      const Global* maker = container_.pickle.maker(value);
      if (maker == nullptr || maker->role != Role::kStoredStorage) continue;
      container_.views[id] = read_once(source_of(value));
    }
  }

 private:
  /// The value that has the bytes: the argument, or the text that an encoding makes bytes of.
  ValueId source_of(const Value& value) const {
    const Pickle& pickle = container_.pickle;
    ValueId id = argument(value);
    const Global* maker = pickle.maker(pickle[id]);
    if (maker != nullptr && maker->role == Role::kEncode) id = argument(pickle[id]);
    return id;
  }
  ValueId argument(const Value& call) const {
    const auto& items = container_.pickle.items_of(container_.pickle[call.arguments]);
    if (items.empty()) fail(file_, "a storage's bytes", "none");
    return items[0];
  }

  std::string_view bytes_of(ValueId source) {
    Pickle& pickle = container_.pickle;
    const Value& value = pickle[source];
    if (value.kind == Kind::kBytes || value.kind == Kind::kLatin1Text) return value.text;
    std::string bytes;
    if (value.kind != Kind::kText || !to_latin1(value.text, bytes))
      fail(file_, "a storage's bytes", describe(pickle, source));
    pickle.decoded.push_back(std::move(bytes));
    return pickle.decoded.back();
  }

  /// Bytes that many values refer to are read once: memory and time stay within the file's size.
  StorageView read_once(ValueId source) {
    const auto known = views_.find(source);
    if (known != views_.end()) return known->second;
    const std::string name = file_ + ": stored storage";
    LegacyReader reader(bytes_of(source), name);
    const Pickle magic = reader.next();
    const Value& root = magic[magic.root];
    if (root.kind != Kind::kBigInteger || root.text != kLegacyMagic)
      fail(name, "PyTorch's format before the zip format", "another one");
    const Container stored = read_legacy(reader, name);
    const auto view = stored.views.find(stored.pickle.root);
    if (view == stored.views.end() || stored.storages.size() != 1)
      fail(name, "one storage", describe(stored.pickle, stored.pickle.root));
    const StorageView result{container_.storages.size(), view->second.offset, view->second.count};
    container_.storages.push_back(stored.storages.front());
    return views_[source] = result;
  }

  Container& container_;
  const std::string& file_;
  std::map<ValueId, StorageView> views_;  // by source
};

}  // namespace

Container read_container(std::string_view bytes, const std::string& file) {
  if (bytes.starts_with("PK")) return read_zip(bytes, file);
  if (bytes.size() > kTarMagicAt && bytes.substr(kTarMagicAt).starts_with("ustar"))
    throw DataError(file +
                    ": expected a file of PyTorch 0.1.10 or newer, got the tar format before "
                    "it. Load and save it with PyTorch.");
  LegacyReader reader(bytes, file);
  Container container;
  container.format = "pickle";
  container.pickle = reader.next();
  const Value& root = container.pickle[container.pickle.root];
  if (root.kind == Kind::kBigInteger && root.text == kLegacyMagic) return read_legacy(reader, file);
  reader.expect_end();
  StoredStorages(container, file).read_all();
  return container;
}

}  // namespace tessera::pickle
