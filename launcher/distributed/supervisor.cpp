#include "launcher/distributed/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <thread>
#include <utility>

#include "core/error.h"
#include "launcher/distributed/c10d_groups.h"
#include "launcher/run_main.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kBeat = 1s;
constexpr auto kLook = 100ms;
// A rank whose watching thread slept longer was itself stopped: what it then sees is old.
constexpr auto kOwnStop = 3s;
// For the rank that failed: its own words and exit code go before those of the others.
constexpr auto kLastWords = 3s;
constexpr const char* kVerdict = "verdict";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

std::string text_of(const std::vector<uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

std::string beat_key(int64_t rank) {
  return "beat/" + std::to_string(rank);
}

/// Whether a process of this machine runs (or is stopped): a zombie does not.
bool is_there(int64_t process) {
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  if (!std::getline(stat, text)) return false;
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && name_end + 2 < text.size() && text[name_end + 2] != 'Z' &&
         text[name_end + 2] != 'X';
}

/// Whether an error is one that c10d, Gloo or NCCL gives when another rank is gone.
bool is_of_communication(const std::exception& error) {
  if (dynamic_cast<const Error*>(&error)) return false;
  const std::string text = error.what();
  for (const char* mark : {"gloo", "Gloo", "NCCL", "c10d", "Connection", "ocket", "Broken pipe"})
    if (text.find(mark) != std::string::npos) return true;
  return false;
}

/// Keeps what ended the job. out: whether it is the first that is known: what follows from it is
/// not worth a message.
bool keep(const std::filesystem::path& folder, const std::string& message) {
  const int descriptor =
      ::open((folder / "failure.txt").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) return errno != EEXIST;  // a disk that is full must not make it silent
  const std::string line = message + "\n";
  const bool written = ::write(descriptor, line.data(), line.size()) >= 0;
  ::close(descriptor);
  return written || errno != EEXIST;
}

std::string rounded(double seconds) {
  return std::to_string(static_cast<int64_t>(seconds + 0.5)) + " s";
}

}  // namespace

std::filesystem::path rank_records(const std::filesystem::path& run_folder) {
  return run_folder / "ranks";
}

struct Supervisor::Watch {
  Watch(const World& world, const Communicator& communicator, const DistributedOptions& options,
        std::filesystem::path folder, std::function<void(const std::string&)> last_words)
      : rank(world.rank()),
        size(world.size()),
        options(options),
        folder(std::move(folder)),
        last_words(std::move(last_words)),
        parent(getppid()),
        record(this->folder, {world.rank(), world.host(), getpid(), 0, 0, Phase::starting}) {
    for (const std::string& text : world.gather_everywhere(record.status().encode())) {
      peers.push_back(RankStatus::decode(text));
      ranks.push_back({peers.back(), Clock::now(), Clock::now()});
    }
    const auto& groups = *communicator.groups();
    c10d::TCPStoreOptions store_options;
    store_options.port = groups.store_port;
    store_options.waitWorkers = false;
    store_options.timeout = 1min;
    // A client of its own: the one of the process group may be waiting for a key.
    store = c10::make_intrusive<c10d::TCPStore>(groups.store_host, store_options);
    if (is_first()) store->set(kVerdict, bytes_of(""));
    store->set(beat_key(own()), bytes_of(record.status().encode()));
    communicator.wait_for_all();
    beating = std::thread([this] { beat(); });
    watching = std::thread([this] { watch(); });
  }

  ~Watch() {
    beating.join();
    watching.join();
  }

  int64_t own() const { return rank; }
  bool is_first() const { return rank == 0; }

  /// Ends the process. The rank that is `first` to speak says why; the others leave it the time,
  /// and speak only where it did not. What is known already is not said again.
  [[noreturn]] void end(const std::string& message, bool first) {
    const std::lock_guard lock(ending);  // never unlocked: the other thread must not end it too
    if (last_words) last_words(message.empty() ? "another rank failed" : message);
    if (!first) std::this_thread::sleep_for(kLastWords);
    if (!message.empty() && keep(folder, message)) {
      std::fprintf(stderr, "error: %s\n", message.c_str());
      std::fflush(stderr);
      std::this_thread::sleep_for(50ms);  // mpirun reads what was said before it sees us end
    }
    _exit(kRuntimeError);
  }

  /// Ends the job because of another rank, with one voice.
  [[noreturn]] void judge(const std::string& message) {
    bool speaks = true;
    try {
      speaks = text_of(store->compareSet(kVerdict, bytes_of(""), bytes_of(message))) == message;
    } catch (const std::exception&) {
      // The store went with its machine: the first rank that is left speaks.
      speaks = own() == first_left();
    }
    end(message, speaks);
  }

  /// Who speaks when rank 0 is lost.
  static int64_t first_left() { return 1; }

  /// The newer of what is known and of what a rank's record says: a beat may be a second old, and a
  /// record of another machine may come late.
  RankStatus last_of(const RankStatus& known) const {
    for (const RankStatus& status : read_rank_records(folder))
      if (status.rank == known.rank && status.process == known.process &&
          status.progress > known.progress)
        return status;
    return known;
  }

  void beat() {
    while (!stopping) {
      try {
        store->set(beat_key(own()),
                   bytes_of(record.status().encode() + " " + std::to_string(++beats)));
        const std::string verdict = text_of(store->get(kVerdict));
        if (!verdict.empty() && !failing && !stopping) end(verdict, /*first=*/false);
        if (is_first()) {
          for (int64_t other = 1; other < size; ++other) look_at(other);
          expect_progress();
        } else {
          look_at(0);
        }
      } catch (const std::exception& error) {
        if (stopping || failing) return;
        // A store that answers no more: rank 0 is killed, or its machine is gone.
        std::this_thread::sleep_for(500ms);  // what can be seen on this machine is said first
        if (stopping || failing) return;
        end(last_of(peers[0]).text() + " was lost: its store does not answer (" +
                first_line(error.what()) + "). " + advice(),
            own() == first_left());
      }
      last_round = Clock::now().time_since_epoch().count();
      std::this_thread::sleep_for(kBeat);
    }
  }

  static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

  static std::string advice() {
    return "The last checkpoint is whole: run again with --resume auto.";
  }

  /// Ends the job where a rank's beats stopped.
  void look_at(int64_t other) {
    const std::string text = text_of(store->get(beat_key(other)));
    Seen& seen = ranks[static_cast<size_t>(other)];
    if (text != seen.beat) {
      seen.beat = text;
      seen.heard = Clock::now();
      const RankStatus now = RankStatus::decode(text);
      if (now.progress != seen.status.progress) seen.moved = Clock::now();
      seen.status = now;
      return;
    }
    const double silent = seconds_since(seen.heard);
    if (silent > options.heartbeat_timeout && !stopping)
      judge(last_of(seen.status).text() + " was lost: no sign of life for " + rounded(silent) +
            ". It is stopped, or its machine or network is. " + advice());
  }

  /// Rank 0's: ends the job where living ranks are stuck. The one that is furthest behind is named:
  /// the others wait for it.
  void expect_progress() {
    Seen& own_seen = ranks[0];
    const RankStatus now = record.status();
    if (now.progress != own_seen.status.progress) own_seen.moved = Clock::now();
    own_seen.status = now;
    const Seen* behind = nullptr;
    for (const Seen& seen : ranks) {
      if (seconds_since(seen.moved) < options.progress_timeout) return;  // somebody moves
      // Reading a large set's annotations may take its time.
      if (seen.status.phase == Phase::starting) return;
      if (!behind || seen.status.progress < behind->status.progress) behind = &seen;
    }
    if (!stopping)
      judge(behind->status.text() + " makes no progress: nothing for " +
            rounded(seconds_since(behind->moved)) +
            " (train.distributed.progress_timeout) although it is alive. " + advice());
  }

  void watch() {
    Clock::time_point before = Clock::now();
    Clock::time_point listening_since = before;
    while (!stopping) {
      std::this_thread::sleep_for(kLook);
      const auto now = Clock::now();
      if (now - before > kOwnStop) listening_since = now;  // we were stopped ourselves
      before = now;
      if (stopping || failing) continue;
      if (getppid() != parent) _exit(kRuntimeError);  // mpirun was killed: no orphans
      look_at_neighbours();
      const Clock::time_point round(Clock::duration(last_round.load()));
      const double silent = seconds_since(std::max(round, listening_since));
      if (silent > options.heartbeat_timeout + 2)
        end(last_of(peers[0]).text() + " was lost: its store gave no answer for " +
                rounded(silent) + ". It is stopped, or its machine or network is. " + advice(),
            own() == first_left());
    }
  }

  /// Ends the job where a process of this machine is gone: known at once, before mpirun ends all.
  void look_at_neighbours() {
    int64_t gone = -1, speaker = -1;
    for (const RankStatus& peer : peers) {
      if (peer.host != peers[static_cast<size_t>(own())].host) continue;
      int64_t& found = is_there(peer.process) ? speaker : gone;
      if (found < 0) found = peer.rank;
    }
    if (gone < 0 || stopping || failing) return;
    const RankStatus last = last_of(peers[static_cast<size_t>(gone)]);
    if (last.phase == Phase::ended) return;
    if (last.phase == Phase::failed) end("", /*first=*/false);  // it said itself why
    end(last.text() + " was killed: its process is gone. " + advice(), own() == speaker);
  }

  struct Seen {
    RankStatus status;
    Clock::time_point heard, moved;
    std::string beat = {};
  };

  const int64_t rank, size;
  const DistributedOptions options;
  const std::filesystem::path folder;
  const std::function<void(const std::string&)> last_words;
  const pid_t parent;
  RankRecord record;
  std::vector<RankStatus> peers;  // as they began: for both threads
  std::vector<Seen> ranks;        // as the beating thread knows them, and nobody else
  c10::intrusive_ptr<c10d::TCPStore> store;
  std::atomic<bool> stopping{false}, failing{false};
  std::atomic<int64_t> last_round{Clock::now().time_since_epoch().count()};
  int64_t beats = 0;
  std::mutex ending;
  std::thread beating, watching;
};

Supervisor::Supervisor() = default;

Supervisor::Supervisor(const World& world, const Communicator& communicator,
                       const DistributedOptions& options, const std::filesystem::path& folder,
                       std::function<void(const std::string&)> last_words)
    : communicator_(&communicator) {
  if (communicator.size() > 1)
    watch_ = std::make_unique<Watch>(world, communicator, options, folder, std::move(last_words));
}

Supervisor::~Supervisor() {
  if (!watch_) return;
  watch_->stopping = true;
  // The process is about to end with an error. A thread that waits for a store whose machine hangs
  // cannot be joined; it keeps what it uses.
  if (!done_) static_cast<void>(watch_.release());
}

void Supervisor::enter(Phase phase, int64_t step) {
  if (watch_) watch_->record.enter(phase, step);
}

void Supervisor::note_progress() {
  if (!watch_) return;
  const RankStatus now = watch_->record.status();
  watch_->record.enter(now.phase, now.step);
}

void Supervisor::fail(const std::exception& error) {
  if (!watch_) return;
  if (is_of_communication(error)) {
    // The watching threads find out who it was and end this process.
    const auto limit = std::chrono::duration<double>(watch_->options.heartbeat_timeout + 5);
    std::this_thread::sleep_for(limit);
  }
  watch_->failing = true;
  const RankStatus last = watch_->record.status();
  watch_->record.enter(Phase::failed, last.step);
  const std::string message = last.text() + " failed: " + error.what();
  keep(watch_->folder, message);
  try {
    watch_->store->compareSet(kVerdict, bytes_of(""), bytes_of(message));
  } catch (const std::exception& lost) {
    std::fprintf(stderr, "note: the other ranks could not be told: %s\n", lost.what());
  }
}

void Supervisor::finish() {
  if (!watch_) return;
  communicator_->wait_for_all();  // nobody leaves before all are done
  watch_->record.enter(Phase::ended, watch_->record.status().step);
  watch_->stopping = true;
  communicator_->wait_for_all();  // nobody's process ends while another still looks for it
  done_ = true;
}

}  // namespace tessera
