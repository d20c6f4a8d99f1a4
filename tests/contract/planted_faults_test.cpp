// Trackers and decoders with a state that break the contract on purpose: each is noticed by the
// check that is for it, and the same part without the fault passes all.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>

#include "core/error.h"
#include "core/interfaces/decoder.h"
#include "core/interfaces/tracker.h"
#include "core/plugin/plugin.h"
#include "launcher/contract/contract_checks.h"

namespace tessera {
namespace {

std::string problems_of(const PluginDescriptor& plugin) {
  Registry registry(Registry::default_search_paths());
  std::string problems;
  for (const contract::CheckResult& result : contract::check_plugin(plugin, registry))
    if (!result.passed) problems += result.name + ": " + result.problem + "\n";
  return problems;
}

void expect_problem(const PluginDescriptor& plugin, const std::string& check,
                    const std::string& problem) {
  const std::string problems = problems_of(plugin);
  const size_t line = problems.find(check);
  ASSERT_NE(line, std::string::npos) << "'" << check << "' found nothing:\n" << problems;
  EXPECT_NE(problems.find(problem, line), std::string::npos) << problems;
}

enum class TrackerFault {
  none,
  second_row,    // a duplicate goes on with the track of the first
  other_number,  // of what is dropped
  numbers,       // of all videos of the part go on
  memory,        // of all videos is one
  order,         // a row is a track
  return_of_the_ended,
  two_numbers_at_once,
};

/// A query's object is its track; the second row of an object is dropped.
template <TrackerFault fault>
class QueryTracker final : public Tracker {
 public:
  struct Options {
    static void describe(Schema<Options>&) {}
  };
  QueryTracker(const Options&, const BuildContext&) {}

  struct Memory {
    std::vector<int64_t> objects;  // of each track
    std::vector<int64_t> ended;
  };

  class Video final : public VideoTracker {
   public:
    Video(std::shared_ptr<Memory> memory, int64_t first)
        : memory_(std::move(memory)), first_(first) {}
    TrackUpdate update(const TrackerInput& input) override {
      TrackUpdate update;
      auto& objects = memory_->objects;
      for (size_t row = 0; row < input.queries.size(); ++row) {
        if (fault == TrackerFault::order) {
          update.track_of_row.push_back(static_cast<int64_t>(row));
          continue;
        }
        constexpr int64_t kFirstOfDuplicates = 5;
        const int64_t query = input.queries[row];
        if (query >= kFirstOfDuplicates && fault != TrackerFault::second_row) {
          update.track_of_row.push_back(fault == TrackerFault::other_number ? -2 : -1);
          continue;
        }
        auto found = std::find(objects.begin(), objects.end(), query % kFirstOfDuplicates);
        if (found == objects.end()) {
          if (fault == TrackerFault::two_numbers_at_once) objects.push_back(-1);
          objects.push_back(query % kFirstOfDuplicates);
          found = objects.end() - 1;
        }
        update.track_of_row.push_back(first_ + (found - objects.begin()));
      }
      if (fault == TrackerFault::return_of_the_ended && memory_->ended.empty()) {
        update.ended = {0};
        memory_->ended = {0};
      }
      return update;
    }

   private:
    std::shared_ptr<Memory> memory_;
    int64_t first_;
  };

  std::unique_ptr<VideoTracker> begin() const override {
    const int64_t first = fault == TrackerFault::numbers ? videos_++ : 0;
    return std::make_unique<Video>(
        fault == TrackerFault::memory ? shared_ : std::make_shared<Memory>(), first);
  }

 private:
  std::shared_ptr<Memory> shared_ = std::make_shared<Memory>();
  mutable int64_t videos_ = 0;
};

template <TrackerFault fault>
constexpr PluginDescriptor kTracker = make_descriptor<Tracker, QueryTracker<fault>>("query_tracker",
                                                                                    "For tests");

TEST(PlantedFaults, OfATrackerAreNoticed) {
  EXPECT_EQ(problems_of(kTracker<TrackerFault::none>), "");
  const std::string runs = "builds and gives the promised shapes at T = 3";
  expect_problem(kTracker<TrackerFault::second_row>, runs, "expected one row for a track");
  expect_problem(kTracker<TrackerFault::other_number>, runs, "numbers of tracks from 0 on, or -1");
  expect_problem(kTracker<TrackerFault::return_of_the_ended>, runs,
                 "expected no track that has ended");
  expect_problem(kTracker<TrackerFault::two_numbers_at_once>, runs,
                 "the next new track to have number 0");
  expect_problem(kTracker<TrackerFault::numbers>, "repeats itself bit for bit at T = 3",
                 "the next new track to have number 0");
  // Seen where a video with other objects comes between.
  expect_problem(kTracker<TrackerFault::memory>, "begins every video afresh at T = 3",
                 "the next new track to have number 0");
  expect_problem(kTracker<TrackerFault::order>, "does not heed the order of rows at T = 3",
                 "in reverse order");
}

enum class DecoderFault {
  none,
  changes_state,   // that it is given
  remembers,       // the video in the part
  forgets,         // the window before
  half_precision,  // of the state
  no_state,        // although its spec() states one
  unstated,        // its spec() states none
  no_count,        // of frames
};

/// Each frame adds to half of what the frame before left. As a further stage it reads the frame's
/// rows of the stage before, and cannot be made without one.
template <DecoderFault fault, bool is_further>
class CarryingDecoder final : public Decoder {
 public:
  struct Options {
    static void describe(Schema<Options>&) {}
  };
  CarryingDecoder(const Options&, const BuildContext& context)
      : dim_(context.memory.dim),
        project_(register_module("project", torch::nn::Linear(dim_, dim_))),
        queries_(register_parameter("queries", at::randn({3, dim_}))) {
    if (is_further && context.earlier.empty())
      throw ConfigError("expected a stage before, got none.");
  }

  DecoderOutput decode(const DecoderInput& input) override {
    const int64_t frames = input.memory.num_frames();
    at::Tensor x = queries_ + project_->forward(input.memory.tokens.mean(2)).unsqueeze(2);
    if (is_further) x = x + input.earlier.back()->embeddings.layers.back().raw;
    const VideoState* before = fault == DecoderFault::remembers ? &kept_ : input.state;
    if (fault == DecoderFault::forgets) before = nullptr;
    at::Tensor carried = before && !before->is_start() ? before->tensors.at(0).to(x.scalar_type())
                                                       : at::zeros_like(x.select(1, 0));
    std::vector<at::Tensor> all;
    for (int64_t t = 0; t < frames; ++t) {
      carried = carried * 0.5 + x.select(1, t);
      all.push_back(carried);
    }
    if (fault == DecoderFault::changes_state && before && !before->is_start())
      at::Tensor(before->tensors[0]).copy_(carried.detach());
    DecoderOutput output;
    InstanceLayer& layer = output.embeddings.layers.emplace_back();
    layer.frame = at::stack(all, 1);
    if (fault == DecoderFault::no_state) return output;
    output.state.tensors = {fault == DecoderFault::half_precision ? carried.to(at::kHalf)
                                                                  : carried};
    output.state.frames =
        fault == DecoderFault::no_count ? frames : frames + (before ? before->frames : 0);
    if (fault == DecoderFault::remembers) kept_ = {{carried.detach()}, output.state.frames};
    return output;
  }
  QuerySpec spec() const override {
    QuerySpec spec{3, dim_, 1, /*per_frame=*/true};
    spec.keeps_state = fault != DecoderFault::unstated;
    return spec;
  }
  StageReads reads() const override {
    StageReads reads;
    reads.stages = is_further ? 1 : 0;
    reads.raw = is_further;
    return reads;
  }

 private:
  int64_t dim_;
  torch::nn::Linear project_;
  at::Tensor queries_;
  VideoState kept_;
};

template <DecoderFault fault, bool is_further = false>
constexpr PluginDescriptor kDecoder =
    make_descriptor<Decoder, CarryingDecoder<fault, is_further>>("carrying_decoder", "For tests");

TEST(PlantedFaults, OfADecoderWithAStateAreNoticed) {
  EXPECT_EQ(problems_of(kDecoder<DecoderFault::none>), "");
  const std::string windows = "gives in several windows what it gives in one at T = 3";
  expect_problem(kDecoder<DecoderFault::changes_state>,
                 "leaves the state that it is given as it was at T = 3", "a change in tensor 0");
  expect_problem(kDecoder<DecoderFault::remembers>, "begins every video afresh at T = 3",
                 "to depend on no video before");
  expect_problem(kDecoder<DecoderFault::forgets>, windows, "the embeddings that they have in one");
  expect_problem(kDecoder<DecoderFault::half_precision>,
                 "keeps a state of float32 tensors at T = 3", "got Half");
  expect_problem(kDecoder<DecoderFault::no_state>, "keeps a state of float32 tensors at T = 3",
                 "got none");
  expect_problem(kDecoder<DecoderFault::unstated>, "builds and gives the promised shapes at T = 3",
                 "does not state keeps_state");
  expect_problem(kDecoder<DecoderFault::no_count>, windows, "counts the frames");
}

TEST(PlantedFaults, ADecoderOfAFurtherStageIsGivenTheStagesThatItReads) {
  EXPECT_EQ(problems_of(kDecoder<DecoderFault::none, true>), "");
  expect_problem(kDecoder<DecoderFault::forgets, true>,
                 "gives in several windows what it gives in one at T = 3",
                 "the embeddings that they have in one");
}

}  // namespace
}  // namespace tessera
