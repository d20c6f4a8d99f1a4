#include "launcher/training/metrics_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "launcher/training/progress.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

using test_support::expect_error;
using test_support::read_file;
using test_support::TemporaryFolder;
using test_support::write_file;

StepMetrics at_iteration(int64_t iteration) {
  StepMetrics metrics;
  metrics.iteration = iteration;
  metrics.lr = 0.1 + 0.2;
  metrics.total = 1.0 / 3.0;
  metrics.terms = {{"boxes", 2.5}, {"class", 1e-30}};
  metrics.grad_norm = 4;
  metrics.seconds = 2;
  metrics.data_seconds = 0.5;
  return metrics;
}

TEST(MetricsLog, WritesFullPrecision) {
  TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  MetricsLog(file, 0).write(at_iteration(3));
  const auto json = nlohmann::ordered_json::parse(read_file(file));
  EXPECT_EQ(json["iteration"], 3);
  EXPECT_EQ(json["lr"].get<double>(), 0.1 + 0.2);
  EXPECT_EQ(json["total"].get<double>(), 1.0 / 3.0);
  EXPECT_EQ(json["terms"]["class"].get<double>(), 1e-30);
  EXPECT_EQ(json["terms"].begin().key(), "boxes");
}

TEST(MetricsLog, CutsOffWhatComesAfterTheResumedIteration) {
  TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  {
    MetricsLog log(file, 0);
    for (int64_t i = 1; i <= 4; ++i) log.write(at_iteration(10 * i));
  }
  const std::string whole = read_file(file);
  MetricsLog(file, 25).write(at_iteration(30));
  MetricsLog(file, 30).write(at_iteration(40));
  EXPECT_EQ(read_file(file), whole);
  MetricsLog(file, 0);
  EXPECT_EQ(read_file(file), "");
}

TEST(MetricsLog, DropsALineThatAKillCutShort) {
  TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  MetricsLog(file, 0).write(at_iteration(10));
  const std::string whole = read_file(file);
  write_file(file, whole + whole.substr(0, 20));
  MetricsLog(file, 100);
  EXPECT_EQ(read_file(file), whole);
  write_file(file, whole + whole.substr(0, whole.size() - 1));  // whole but for the line's end
  MetricsLog(file, 100);
  EXPECT_EQ(read_file(file), whole);
}

TEST(MetricsLog, NamesALineThatIsNoMetrics) {
  TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  for (const char* bad : {"notes\n", "{}\n", "3\n", "{\"iteration\":\"x\"}\n"}) {
    write_file(file, std::string("{\"iteration\":1}\n") + bad + "{\"iteration\":2}\n");
    expect_error<DataError>([&] { MetricsLog(file, 5); }, {"metrics.jsonl:2"});
  }
}

TEST(MetricsLog, SaysThatItCannotWrite) {
  TemporaryFolder folder;
  expect_error<RuntimeError>([&] { MetricsLog(folder / "none" / "m.jsonl", 0); },
                             {"m.jsonl", "No such file"});
}

TEST(Progress, ShowsTheTimeLeft) {
  std::ostringstream lines, terminal;
  Progress(lines, false, 1803).show(at_iteration(3));
  EXPECT_EQ(lines.str(),
            "iteration 3/1803  epoch 0  loss 0.3333  lr 0.3  0.50 it/s  data 25%  left 1:00:00\n");
  {
    Progress rewritten(terminal, true, 1803);
    rewritten.show(at_iteration(3));
    rewritten.show(at_iteration(4));
  }
  const std::string text = terminal.str();
  EXPECT_EQ(text.front(), '\r');
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

}  // namespace
}  // namespace tessera
