// Damaged files: readers and scorer may accept them or throw DataError, nothing else. The same
// mutations on every run. Most telling when built with address and undefined sanitizers.

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "launcher/evaluation/score.h"
#include "tests/evaluation/fixture.h"
#include "tests/fuzz/mutate.h"

namespace tessera::evaluation {
namespace {

/// Damaged files of each kind: a sample of seconds, or as many as the slow test asks for.
int num_rounds() {
  const char* wanted = std::getenv("TESSERA_FUZZ_ROUNDS");
  return wanted == nullptr ? 800 : std::atoi(wanted);
}

using fuzz::mutated;
using test_support::Json;

/// Replaces one value somewhere in the tree, so that the file stays valid JSON.
void replace_value(Json& json, std::mt19937& random) {
  const Json values[] = {nullptr, -1,  0,       5,     1e300,         "",   "0",
                         "oo",    {},  {4, 5},  {{1}}, Json::array(), true, int64_t{1} << 62,
                         0.5,     "`", {-4, 5}, "7"};
  Json* place = &json;
  while (place->is_structured() && !place->empty() && random() % 8 != 0) {
    auto child = place->begin();
    std::advance(child, random() % place->size());
    place = &*child;
  }
  *place = values[random() % std::size(values)];
}

Json ground_truth() {
  Json json = test_support::small_ground_truth();
  json["annotations"].push_back(json["annotations"][0]);
  json["annotations"][1]["id"] = 12;
  json["annotations"][1]["segmentations"] = {Json::array({Json::array({1.5, 0, 3, 0, 3, 3, 1, 3})}),
                                             Json{{"size", {4, 5}}, {"counts", {4, 3, 1, 12}}}};
  json["annotations"][1]["areas"] = {6, 15};
  json["annotations"][1]["bboxes"] = {{1, 0, 2, 3}, {1, 0, 4, 4}};
  json["annotations"][1]["occlusion"] = {"no_occlusion", "severe_occlusion"};
  return json;
}

class Fuzz : public test_support::FolderTest {
 protected:
  /// The numbers, or the error.
  static std::string outcome(const std::function<ScoreResult()>& run) {
    try {
      std::string text;
      for (const Stat& stat : run().stats)
        text += stat.name + " " + std::to_string(stat.value) + "\n";
      return text;
    } catch (const DataError& error) {
      return std::string("error: ") + error.what();
    }
  }

  /// True if everything was accepted.
  bool try_files(bool compatible) const {
    bool is_accepted = true;
    for (const Protocol protocol : {Protocol::kYtvis, Protocol::kOvis}) {
      ScoreOptions options{.protocol = protocol, .compatible = compatible, .num_threads = 1};
      const std::string whole = outcome([&] {
        const auto truth = data::read_annotations(folder_ / "gt.json", {.compatible = compatible});
        return score(truth, read_results(folder_ / "results.json", sizes_of(truth)), options);
      });
      EXPECT_EQ(outcome([&] {
                  return score_files(folder_ / "gt.json", folder_ / "results.json", options);
                }),
                whole);
      if (!compatible) {  // whatever scores has diagnostics
        options.diagnose = DiagnosticOptions{};
        EXPECT_EQ(outcome([&] {
                    return score_files(folder_ / "gt.json", folder_ / "results.json", options);
                  }),
                  whole);
      }
      if (!whole.starts_with("error: ")) continue;
      EXPECT_NE(whole.find(folder_.string()), std::string::npos) << "no file in: " << whole;
      is_accepted = false;
    }
    return is_accepted;
  }
};

TEST_F(Fuzz, DamagedBytesGiveDataErrors) {
  std::mt19937 random(11);
  int num_accepted = 0;
  for (int i = 0; i < num_rounds(); ++i) {
    const bool damage_truth = i % 2 == 0;
    const std::string truth = ground_truth().dump();
    const std::string results = test_support::small_results().dump();
    write("gt.json", damage_truth ? mutated(truth, random) : truth);
    write("results.json", damage_truth ? results : mutated(results, random));
    num_accepted += try_files(i % 4 < 2);
  }
  // Some damage does no harm (a letter of a name), most does.
  EXPECT_GT(num_accepted, num_rounds() / 100);
  EXPECT_LT(num_accepted, num_rounds() / 2);
}

TEST_F(Fuzz, WrongValuesGiveDataErrors) {
  std::mt19937 random(12);
  int num_accepted = 0;
  for (int i = 0; i < num_rounds(); ++i) {
    Json truth = ground_truth();
    Json results = test_support::small_results();
    replace_value(i % 2 == 0 ? truth : results, random);
    write_json("gt.json", truth);
    write_json("results.json", results);
    num_accepted += try_files(i % 4 < 2);
  }
  EXPECT_GT(num_accepted, num_rounds() / 100);
  EXPECT_LT(num_accepted, num_rounds() / 2);
}

}  // namespace
}  // namespace tessera::evaluation
