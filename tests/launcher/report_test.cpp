#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/error.h"
#include "launcher/data/synth.h"
#include "launcher/evaluation/score.h"
#include "launcher/report/chart.h"
#include "launcher/report/clips.h"
#include "launcher/report/differences.h"
#include "launcher/report/page.h"
#include "tests/training/temporary_folder.h"

namespace tessera::report {
namespace {

using tessera::test_support::TemporaryFolder;

size_t count_of(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(RunHistory, AddsUpTheTimeOfTraining) {
  TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  std::ofstream(file) << R"({"iteration":1,"total":4.0,"seconds":0.5})" << '\n'
                      << R"({"iteration":11,"total":null,"seconds":0.2})" << '\n'
                      << R"({"iteration":11,"validation":{"AP":0.25,"AP50":0.5},"seconds":3.0})"
                      << '\n'
                      << R"({"iteration":21,"total":2.0,"seconds":0.1})" << '\n';
  const RunHistory history = read_history(file);
  ASSERT_EQ(history.steps.size(), 3u);
  EXPECT_NEAR(history.steps[1].seconds, 0.5 + 10 * 0.2, 1e-9);
  EXPECT_TRUE(std::isnan(history.steps[1].total));
  EXPECT_NEAR(history.seconds(), 0.5 + 2.0 + 1.0, 1e-9);
  ASSERT_EQ(history.validations.size(), 1u);
  EXPECT_NEAR(history.validations[0].seconds, 2.5, 1e-9);  // without the validation's own time
  EXPECT_EQ(history.validations[0].stat("AP50"), 0.5);
  EXPECT_THROW(history.validations[0].stat("AP51"), DataError);
}

TEST(RunHistory, NamesTheLineThatIsWrong) {
  TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  std::ofstream(file) << R"({"iteration":1,"total":4.0,"seconds":0.5})"
                      << "\nnonsense\n";
  try {
    read_history(file);
    FAIL() << "expected an error";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("metrics.jsonl:2"), std::string::npos) << error.what();
  }
}

TEST(Chart, DrawsWhatIsFiniteAndNamesEverySeries) {
  const std::string svg =
      svg_chart({{"a & b", {{0, 1}, {1, NAN}, {2, 3}}, false}, {"c", {{0, 2}, {2, 2}}, true}},
                {.title = "T<1>", .x_label = "x", .y_label = "y"});
  EXPECT_EQ(count_of(svg, "<polyline"), 2u);
  EXPECT_NE(svg.find("a &amp; b"), std::string::npos);
  EXPECT_NE(svg.find("T&lt;1&gt;"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg_chart({{"empty", {}, false}}, {}), "");
}

TEST(Chart, DrawsABarForEveryFiniteValue) {
  const std::string svg = svg_bars({"class", "mask"}, {{"a<b", {6.0, -3.0}}, {"c", {NAN, 1.0}}},
                                   {.title = "Gains", .y_label = "AP"});
  EXPECT_EQ(count_of(svg, "<rect"), 3u + 2u);  // and the legend's
  EXPECT_EQ(count_of(svg, "</title></rect>"), 3u);
  EXPECT_NE(svg.find("a&lt;b, mask: -3"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg_bars({"x"}, {{"a", {NAN}}}, {}), "");
  EXPECT_EQ(svg_bars({}, {}, {}), "");
}

TEST(Differences, NamesEveryKeyInWhichRunsDiffer) {
  const auto found = configuration_differences(
      {"a = 1\n[b]\nc = \"x\"\nd = [1, 2]", "a = 1\n[b]\nc = \"y\"\nd = [1, 2]\ne = 3", ""});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].key, "b.c");
  EXPECT_EQ(found[0].values, (std::vector<std::string>{"\"x\"", "\"y\"", ""}));
  EXPECT_EQ(found[1].key, "b.e");
  EXPECT_EQ(found[1].values, (std::vector<std::string>{"", "3", ""}));
  EXPECT_TRUE(configuration_differences({"a = 1", "a = 1"}).empty());
  EXPECT_TRUE(configuration_differences({"a = 1", ""}).empty()) << "a run without configuration";
}

// A set of generated videos; results that find every track of all but the last video exactly.
struct Scene {
  TemporaryFolder folder;
  data::AnnotationFile truth;
  evaluation::Results results;

  Scene() {
    data::write_synth({.output = folder / "set",
                       .videos = 6,
                       .frames = 4,
                       .height = 48,
                       .width = 64,
                       .seed = 5,
                       .max_instances = 2});
    truth = data::read_annotations(folder / "set" / "annotations.json");
    for (const data::Annotation& annotation : truth.annotations)
      if (annotation.video_id != truth.videos.back().id)
        results.tracks.push_back(
            {annotation.video_id, annotation.category_id, 0.9, annotation.segmentations});
  }
};

TEST(Clips, BestComeFirstAndWorstLast) {
  Scene scene;
  const auto shown = choose_clips(scene.truth, scene.results, scene.folder / "set" / "frames",
                                  {.best = 2, .worst = 1});
  ASSERT_EQ(shown.size(), 3u);
  EXPECT_NEAR(shown[0].ap, 1.0, 1e-9);
  EXPECT_NEAR(shown[0].fit, 1.0, 1e-9);
  EXPECT_EQ(shown[2].name, "0006");
  EXPECT_EQ(shown[2].fit, 0.0);
  EXPECT_EQ(shown[0].truth.size(), 4u);
  EXPECT_TRUE(shown[0].found[0].starts_with("/9j/")) << "the base64 of a JPEG's first bytes";
}

TEST(Page, StandsByItselfAndShowsEveryVideo) {
  Scene scene;
  Page page;
  page.title = "A <page>";
  page.runs.push_back({.name = "run",
                       .history = {{{1, 0.5, 4.0}, {2, 1.0, 2.0}}, {}, {}},
                       .configuration = "key = \"<value>\"",
                       .score = {{"AP", 0.5}, {"AP50", -1}}});
  page.videos = choose_clips(scene.truth, scene.results, scene.folder / "set" / "frames",
                             {.best = 1, .worst = 1});
  page.best_videos = 1;
  const std::string html = html_page(page);
  EXPECT_EQ(count_of(html, "<div class=\"video\">"), 2u);
  EXPECT_NE(html.find("A &lt;page&gt;"), std::string::npos);
  EXPECT_NE(html.find("&lt;value&gt;"), std::string::npos);
  EXPECT_NE(html.find("<td>50.0</td><td>-</td>"), std::string::npos);
  EXPECT_EQ(html.find("http"), std::string::npos) << "nothing is fetched";
}

TEST(Page, ComparesRunsByDiagnosticsFailuresAndConfiguration) {
  Scene scene;
  Page page;
  const auto scored =
      evaluation::score(scene.truth, scene.results, {.diagnose = evaluation::DiagnosticOptions{}});
  page.runs.push_back(
      {.name = "one", .configuration = "lr = 1", .diagnostics = scored.diagnostics->all});
  page.runs.push_back({.name = "two", .configuration = "lr = \"<2>\""});
  const std::string html = html_page(page);
  for (const evaluation::DiagnosticGroup& group : scored.diagnostics->all)
    EXPECT_NE(html.find("<th>" + group.name + "</th>"), std::string::npos) << group.name;
  EXPECT_NE(html.find("<th>HOTA</th>"), std::string::npos);
  EXPECT_NE(html.find("AP gained if one class of error"), std::string::npos);
  EXPECT_NE(html.find("<td>lr</td><td>1</td><td>&quot;&lt;2&gt;&quot;</td>"), std::string::npos);
  page.runs.resize(1);
  EXPECT_EQ(html_page(page).find("<h2>Differences"), std::string::npos);
}

// What the quick start's score must not be won by.
TEST(Baselines, EmptyAndConstantPredictionsScoreNextToNothing) {
  TemporaryFolder folder;
  data::write_synth(
      {.output = folder / "set", .videos = 40, .frames = 5, .height = 64, .width = 96, .seed = 3});
  const auto truth = data::read_annotations(folder / "set" / "annotations.json");
  evaluation::Results nothing, constant;
  EXPECT_LE(evaluation::score(truth, nothing).stat("AP"), 0.0);
  // Every class: the whole frame, and the places and sizes where shapes are most often.
  auto box = [](int64_t x0, int64_t y0, int64_t x1, int64_t y1) {
    std::vector<uint8_t> pixels(64 * 96, 0);
    for (int64_t y = y0; y < y1; ++y)
      for (int64_t x = x0; x < x1; ++x) pixels[static_cast<size_t>(y * 96 + x)] = 1;
    return data::from_mask(pixels, 64, 96);
  };
  const std::vector<data::Rle> guesses{box(0, 0, 96, 64), box(36, 20, 60, 44), box(20, 20, 44, 44),
                                       box(52, 20, 76, 44)};
  for (const data::Video& video : truth.videos)
    for (const data::Category& category : truth.categories)
      for (const data::Rle& guess : guesses)
        constant.tracks.push_back(
            {video.id, category.id, 0.5,
             std::vector<std::optional<data::Rle>>(static_cast<size_t>(video.length), guess)});
  EXPECT_LT(evaluation::score(truth, constant).stat("AP"), 0.02);
}

}  // namespace
}  // namespace tessera::report
