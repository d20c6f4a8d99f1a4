// Runs a fuzz target without libFuzzer: the corpus as it is, then so many damaged copies of it, the
// same ones on every run. What crashes is written to crash-<target>; give it as a corpus file to
// see it again.
//
//   fuzz_rle --runs 20000 --seed 1 tests/fuzz/corpus/rle

#include <sys/resource.h>
#include <unistd.h>

#include <fcntl.h>
#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/fuzz/mutate.h"
#include "tests/fuzz/target.h"

namespace {

namespace fs = std::filesystem;

constexpr unsigned kSecondsPerInput = 20;
constexpr size_t kLargestInput = size_t{1} << 16;
constexpr rlim_t kLargestMemory = rlim_t{1} << 30;  // bytes

// For the signal handler, which may do little.
const char* current = nullptr;
size_t current_size = 0;
char crash_name[256] = "crash-";

void save_input(int signal) {
  const int file = ::open(crash_name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0 && ::write(file, current, current_size) >= 0) ::close(file);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const std::string& input) {
  current = input.data();
  current_size = input.size();
  ::alarm(kSecondsPerInput);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  ::alarm(0);
}

std::string read_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::vector<std::string> read_corpus(const std::vector<fs::path>& places) {
  std::vector<fs::path> files;
  for (const fs::path& place : places) {
    if (!fs::is_directory(place)) {
      files.push_back(place);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(place))
      if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> corpus;
  for (const fs::path& file : files) corpus.push_back(read_file(file));
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  long runs = 1000;
  unsigned seed = 1;
  std::vector<fs::path> places;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
      runs = std::atol(argv[++i]);
    else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
      seed = static_cast<unsigned>(std::atol(argv[++i]));
    else
      places.emplace_back(argv[i]);
  }
  const std::string name = fs::path(argv[0]).filename();
  std::strncat(crash_name, name.c_str(), sizeof(crash_name) - std::strlen(crash_name) - 1);
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGALRM})
    std::signal(signal, save_input);
#if !defined(__SANITIZE_ADDRESS__)
  // A few bytes must not make us allocate gigabytes. (The address sanitizer reserves terabytes.)
  const rlimit limit{kLargestMemory, kLargestMemory};
  ::setrlimit(RLIMIT_AS, &limit);
#endif

  const std::vector<std::string> corpus = read_corpus(places);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: expected a corpus, got no file\n", name.c_str());
    return 2;
  }
  for (const std::string& input : corpus) run(input);
  std::mt19937 random(seed);
  for (long i = 0; i < runs; ++i) {
    std::string input = corpus[random() % corpus.size()];
    // Sometimes damage upon damage.
    for (unsigned rounds = 1 + random() % 3; rounds > 0; --rounds)
      input = tessera::fuzz::mutated(std::move(input), random);
    input.resize(std::min(input.size(), kLargestInput));
    run(input);
  }
  std::printf("%s: %zu corpus files and %ld damaged copies of them (seed %u): no finding\n",
              name.c_str(), corpus.size(), runs, seed);
  return 0;
}
