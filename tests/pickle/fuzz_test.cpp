// Damaged weight files: the same mutations on every run; more with TESSERA_FUZZ_ROUNDS. libFuzzer
// runs tests/fuzz/pickle.cpp for longer and with coverage (docs/weights.md).

#include <cstdint>
#include <cstdlib>
#include <random>

#include "tests/pickle/fixture.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace tessera::pickle {
namespace {

int num_rounds() {
  const char* wanted = std::getenv("TESSERA_FUZZ_ROUNDS");
  return wanted == nullptr ? 4000 : std::atoi(wanted);
}

std::string mutated(std::string bytes, const std::vector<std::string>& others,
                    std::mt19937& random) {
  const int num_changes = 1 + random() % 4;
  for (int i = 0; i < num_changes && !bytes.empty(); ++i) {
    const size_t at = random() % bytes.size(), length = random() % 16;
    const std::string& other = others[random() % others.size()];
    switch (random() % 6) {
      case 0:
        bytes[at] ^= static_cast<char>(1 << random() % 8);
        break;
      case 1:
        bytes[at] = static_cast<char>(random());
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(at, other.substr(random() % other.size(), length));
        break;
      case 4:
        bytes.replace(at, length, length, "\xff\x7f\x80"[random() % 4]);
        break;
      default:
        bytes.insert(at, bytes.substr(random() % bytes.size(), length));
    }
  }
  return bytes;
}

TEST(PickleFuzz, DamagedFilesGiveDataErrors) {
  std::vector<std::string> seeds;
  for (const bool hostile : {false, true})
    for (const auto& path : test_support::fixtures(hostile))
      seeds.push_back(test_support::read_bytes(path));
  std::mt19937 random(7);
  for (int i = 0; i < num_rounds(); ++i) {
    const std::string bytes = mutated(seeds[i % seeds.size()], seeds, random);
    ASSERT_NO_THROW(
        LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()))
        << "round " << i;
  }
}

}  // namespace
}  // namespace tessera::pickle
