#include "launcher/training/tensorboard_log.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cmath>
#include <cstring>

#include "core/error.h"

namespace tessera {
namespace {

constexpr uint32_t kCastagnoli = 0x82f63b78;  // CRC-32C, bits reversed

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kCastagnoli : 0);
    table[i] = crc;
  }
  return table;
}

// As TFRecord wants it: a CRC of data that holds CRCs would be weak, so it is turned and moved.
uint32_t masked_crc(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = make_crc_table();
  uint32_t crc = ~uint32_t{0};
  for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return std::rotr(~crc, 15) + 0xa282ead8;
}

template <class Number>
void append_little_endian(std::string& out, Number number) {
  static_assert(std::endian::native == std::endian::little);
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

/// A message of protocol buffers, field by field.
class Message {
 public:
  Message& add_varint(int field, uint64_t value) {
    key(field, 0);
    varint(value);
    return *this;
  }
  Message& add_double(int field, double value) {
    key(field, 1);
    append_little_endian(bytes_, value);
    return *this;
  }
  Message& add_bytes(int field, const std::string& value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& add_float(int field, float value) {
    key(field, 5);
    append_little_endian(bytes_, value);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void key(int field, int type) { varint(static_cast<uint64_t>(field << 3 | type)); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Message event_now() {
  return Message().add_double(1, seconds_since_1970());
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return gethostname(name.data(), HOST_NAME_MAX) == 0 ? name.data() : "host";
}

}  // namespace

TensorBoardLog::TensorBoardLog(const std::filesystem::path& folder, int64_t first_step) {
  // The name says when, where and by whom, so that no two writers share a file.
  file_ = folder /
          ("events.out.tfevents." + std::to_string(static_cast<int64_t>(seconds_since_1970())) +
           "." + host_name() + "." + std::to_string(getpid()));
  stream_.open(file_, std::ios::binary | std::ios::app);
  write_record(event_now().add_bytes(3, "brain.Event:2").bytes());
  constexpr uint64_t kStart = 1;
  const std::string session = Message().add_varint(1, kStart).bytes();
  write_record(
      event_now().add_varint(2, static_cast<uint64_t>(first_step)).add_bytes(7, session).bytes());
}

void TensorBoardLog::write(int64_t step, const Scalars& scalars) {
  Message summary;
  for (const auto& [tag, value] : scalars) {
    if (!std::isfinite(value)) continue;
    summary.add_bytes(1,
                      Message().add_bytes(1, tag).add_float(2, static_cast<float>(value)).bytes());
  }
  write_record(
      event_now().add_varint(2, static_cast<uint64_t>(step)).add_bytes(5, summary.bytes()).bytes());
}

void TensorBoardLog::write_record(const std::string& event) {
  std::string length;
  append_little_endian(length, uint64_t{event.size()});
  std::string record = length;
  append_little_endian(record, masked_crc(length));
  record += event;
  append_little_endian(record, masked_crc(event));
  stream_.write(record.data(), static_cast<std::streamsize>(record.size()));
  stream_.flush();
  if (!stream_)
    throw RuntimeError(file_.string() + ": expected a file that can be written, got '" +
                       std::strerror(errno) + "'. Check the disk and the permissions.");
}

}  // namespace tessera
