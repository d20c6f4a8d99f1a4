#include "tests/kernels/emulation/device.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace tessera::emulation {
namespace {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 256 * 1024;

enum class State { kReady, kAtBlockBarrier, kAtWarpOperation, kDone };

struct Fiber {
  ucontext_t context{};
  void* stack = nullptr;
  void* sanitizer_stack = nullptr;
  State state = State::kDone;
  Dimensions index;
  // The warp operation that it waits at.
  unsigned mask = 0;
  int from = 0;
  size_t size = 0;  // 0: a barrier
  std::array<char, 16> given{}, got{};
};

// There is one device, as there is one in CUDA's own functions.
class Device {
 public:
  static Device& get() {
    static Device device;
    return device;
  }

  void set_order(uint64_t seed) {
    shuffled_ = seed != 0;
    random_.seed(seed);
  }

  void run(Dimensions blocks, Dimensions threads, const std::function<void()>& thread) {
    if (threads.y != 1 || threads.z != 1 || threads.x > 1024) throw Fault("threads of a block");
    indices_.blocks_of_grid = blocks;
    indices_.threads_of_block = threads;
    thread_ = &thread;
    while (fibers_.size() < threads.x) fibers_.push_back(new_fiber());
    std::vector<uint64_t> order(uint64_t{blocks.x} * blocks.y * blocks.z);
    std::iota(order.begin(), order.end(), uint64_t{0});
    if (shuffled_) std::shuffle(order.begin(), order.end(), random_);
    for (const uint64_t block : order) {
      indices_.block = {static_cast<unsigned>(block % blocks.x),
                        static_cast<unsigned>(block / blocks.x % blocks.y),
                        static_cast<unsigned>(block / blocks.x / blocks.y)};
      run_block();
    }
  }

  // Called by fibers.
  void wait(State state) {
    fiber_->state = state;
    if (state == State::kAtWarpOperation) release_warp();
    if (fiber_->state != State::kReady) leave_fiber();
  }
  void fail(const char* text) {  // for good, so it must leave nothing to be freed on its stack
    fault_ = text;
    leave_fiber();
  }
  Fiber& fiber() { return *fiber_; }
  const Indices& indices() const { return indices_; }

 private:
  static std::unique_ptr<Fiber> new_fiber() {
    auto fiber = std::make_unique<Fiber>();
    fiber->stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (fiber->stack == MAP_FAILED) throw std::runtime_error("no memory for a fiber's stack");
    return fiber;
  }

  static void enter() { get().body(); }

  void body() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &main_stack_, &main_stack_size_);
#endif
    (*thread_)();
    fiber_->state = State::kDone;
    leave_fiber();
  }

  void start(Fiber& fiber) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, &Device::enter, 0);
    fiber.state = State::kReady;
  }

  void enter_fiber(Fiber& fiber) {
    fiber_ = &fiber;
    indices_.thread = fiber.index;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&main_sanitizer_stack_, fiber.stack, kStackBytes);
#endif
    swapcontext(&main_, &fiber.context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(main_sanitizer_stack_, nullptr, nullptr);
#endif
  }

  void leave_fiber() {
    Fiber& fiber = *fiber_;
#if defined(__SANITIZE_ADDRESS__)
    const bool last = fiber.state == State::kDone;
    __sanitizer_start_switch_fiber(last ? nullptr : &fiber.sanitizer_stack, main_stack_,
                                   main_stack_size_);
#endif
    swapcontext(&fiber.context, &main_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fiber.sanitizer_stack, &main_stack_, &main_stack_size_);
#endif
  }

  void run_block() {
    const unsigned threads = indices_.threads_of_block.x;
    std::vector<unsigned> order(threads);
    std::iota(order.begin(), order.end(), 0u);
    for (unsigned i = 0; i < threads; ++i) {
      fibers_[i]->index = {i, 0, 0};
      start(*fibers_[i]);
    }
    while (true) {
      if (shuffled_) std::shuffle(order.begin(), order.end(), random_);
      bool ran = false;
      for (const unsigned i : order) {
        if (fibers_[i]->state != State::kReady) continue;
        ran = true;
        enter_fiber(*fibers_[i]);
        if (fault_ != nullptr) throw Fault(std::exchange(fault_, nullptr));
      }
      if (ran) continue;
      size_t done = 0, at_barrier = 0;
      for (unsigned i = 0; i < threads; ++i) {
        done += fibers_[i]->state == State::kDone;
        at_barrier += fibers_[i]->state == State::kAtBlockBarrier;
      }
      if (done == threads) return;
      if (at_barrier + done != threads) throw Fault("a warp operation waits for lanes forever");
      // The hardware lets ended threads off; a kernel that relies on it has lost some of its own.
      if (done != 0) throw Fault("a block's barrier waits for threads that have ended");
      for (unsigned i = 0; i < threads; ++i) fibers_[i]->state = State::kReady;
    }
  }

  // Lets a warp's lanes go where all that the running one waits for have come.
  void release_warp() {
    const unsigned first = fiber_->index.x / kWarp * kWarp;
    const unsigned own = fiber_->index.x - first;
    const unsigned mask = fiber_->mask;
    if ((mask >> own & 1) == 0) return fail("a lane is not in its own mask");
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      if (first + lane >= indices_.threads_of_block.x)
        return fail("a mask names a lane that is not there");
      const Fiber& other = *fibers_[first + lane];
      if (other.state == State::kDone) return fail("a mask names a lane that has ended");
      if (other.state != State::kAtWarpOperation) return;
      if (other.mask != mask || other.size != fiber_->size) {
        return fail("lanes of one mask are at different operations");
      }
    }
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      Fiber& other = *fibers_[first + lane];
      other.state = State::kReady;
      if (other.size == 0) continue;
      const auto from = static_cast<unsigned>(other.from);
      if (from >= kWarp || (mask >> from & 1) == 0) {
        return fail("a lane reads from one that is not in the mask");
      }
      other.got = fibers_[first + from]->given;
    }
  }

  std::mt19937_64 random_;
  bool shuffled_ = false;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  const std::function<void()>* thread_ = nullptr;
  Fiber* fiber_ = nullptr;
  ucontext_t main_{};
  Indices indices_;
  const char* fault_ = nullptr;
  [[maybe_unused]] void* main_sanitizer_stack_ = nullptr;
  [[maybe_unused]] const void* main_stack_ = nullptr;
  [[maybe_unused]] size_t main_stack_size_ = 0;
};

}  // namespace

void set_order(uint64_t seed) {
  Device::get().set_order(seed);
}

void run(Dimensions blocks, Dimensions threads, const std::function<void()>& thread) {
  Device::get().run(blocks, threads, thread);
}

const Indices& indices() {
  return Device::get().indices();
}

void block_barrier() {
  Device::get().wait(State::kAtBlockBarrier);
}

void warp_barrier(unsigned mask) {
  exchange(mask, 0, nullptr, 0);
}

void exchange(unsigned mask, int from, void* bytes, size_t size) {
  Device& device = Device::get();
  Fiber& fiber = device.fiber();
  if (size > fiber.given.size()) return device.fail("a shuffle of more than 16 bytes");
  fiber.mask = mask;
  fiber.from = from;
  fiber.size = size;
  if (size != 0) std::memcpy(fiber.given.data(), bytes, size);
  device.wait(State::kAtWarpOperation);
  if (size != 0) std::memcpy(bytes, fiber.got.data(), size);
}

}  // namespace tessera::emulation
