#include "launcher/distributed/same_build.h"

#include <link.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "core/error.h"

namespace tessera {
namespace {

std::string hash_of(std::istream& stream) {
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  std::vector<char> block(1 << 16);
  while (stream.read(block.data(), static_cast<std::streamsize>(block.size())), stream.gcount() > 0)
    for (std::streamsize i = 0; i < stream.gcount(); ++i)
      hash = (hash ^ static_cast<unsigned char>(block[static_cast<size_t>(i)])) * 0x100000001b3ull;
  return std::to_string(hash);
}

/// Hash by name of the program and of every loaded library that is Tessera's.
std::map<std::string, std::string> identities(const std::string& experiment) {
  std::map<std::string, std::string> found;
  std::istringstream text(experiment);
  found["the experiment (resolved.toml)"] = hash_of(text);
  std::vector<std::string> files{"/proc/self/exe"};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* list) {
        const std::string name = info->dlpi_name;
        if (name.find("libtessera_") != std::string::npos)
          static_cast<std::vector<std::string>*>(list)->push_back(name);
        return 0;
      },
      &files);
  for (const std::string& file : files) {
    std::ifstream stream(file, std::ios::binary);
    const std::string name = std::filesystem::path(file).filename().string();
    found[name == "exe" ? "the program" : name] = hash_of(stream);
  }
  return found;
}

std::map<std::string, std::string> parse(const std::string& text) {
  std::map<std::string, std::string> values;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    const size_t tab = line.find('\t');
    values[line.substr(0, tab)] = line.substr(tab + 1);
  }
  return values;
}

}  // namespace

void expect_same_everywhere(const World& world, const std::string& resolved_experiment) {
  if (world.size() == 1) return;
  std::string own = "host\t" + world.host() + "\n";
  for (const auto& [name, hash] : identities(resolved_experiment)) own += name + "\t" + hash + "\n";
  const auto all = world.gather_everywhere(own);
  const auto first = parse(all.at(0));
  std::vector<std::string> differences;
  for (size_t rank = 1; rank < all.size(); ++rank) {
    auto other = parse(all[rank]);
    for (const auto& [name, hash] : first)
      if (name != "host" && other[name] != hash)
        differences.push_back("rank " + std::to_string(rank) + " on " + other["host"] +
                              " has another version of " + name);
    for (const auto& [name, hash] : other)
      if (!first.count(name))
        differences.push_back("rank " + std::to_string(rank) + " on " + other["host"] + " has " +
                              name + ", which rank 0 has not");
  }
  if (!differences.empty())
    throw ConfigError(
        "train: expected the same experiment and the same build on every rank as on rank 0 (" +
        first.at("host") + "), got differences:\n  " + join(differences, "\n  ") +
        "\nInstall one build for all machines, and start all with one command.");
}

}  // namespace tessera
