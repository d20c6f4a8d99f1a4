#include "core/config/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/config/toml_reader.h"

namespace tessera {
namespace {

using testing::HasSubstr;

struct Inner {
  int64_t depth = 3;
  static void describe(Schema<Inner>& schema) {
    schema.field("depth", &Inner::depth, "Depth.").at_least(1);
  }
};

struct Options {
  int64_t count = 1;
  double rate = 0.5;
  std::string mode = "a";
  std::vector<int64_t> sizes = {1};
  std::optional<double> limit;
  Inner inner;
  bool needed = false;

  static void describe(Schema<Options>& schema) {
    schema.field("count", &Options::count, "A count.").one_of({1, 2, 4});
    schema.field("rate", &Options::rate, "A rate.").between(0, 1);
    schema.field("mode", &Options::mode, "A mode.").one_of({"a", "b"});
    schema.field("sizes", &Options::sizes, "Sizes.").at_least(1);
    schema.field("limit", &Options::limit, "A limit.").more_than(0);
    schema.field("inner", &Options::inner, "A table.");
    schema.field("needed", &Options::needed, "Needed.").required();
    schema.validate([](const Options& o) {
      if (o.count == 4 && o.mode == "b")
        throw ConfigError("count, mode: expected not both 4 and b.");
    });
  }
};

std::string errors_of(const std::string& toml) {
  Options options;
  ReadContext context;
  schema_of<Options>().read(&options, parse_toml(toml, "e.toml"), "", context);
  try {
    context.throw_if_failed();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Schema, ReadsEveryType) {
  Options options;
  ReadContext context;
  schema_of<Options>().read(
      &options,
      parse_toml("count = 2\nrate = 1\nmode = \"b\"\nsizes = [3, 4]\nlimit = 2.5\n"
                 "needed = true\n[inner]\ndepth = 7\n",
                 "e.toml"),
      "", context);
  EXPECT_FALSE(context.failed());
  EXPECT_EQ(options.count, 2);
  EXPECT_EQ(options.rate, 1.0);
  EXPECT_EQ(options.sizes, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(options.limit, 2.5);
  EXPECT_EQ(options.inner.depth, 7);
}

TEST(Schema, NamesFileLineAndNearestKeyOfAnUnknownOne) {
  const std::string error = errors_of("needed = true\n\nrat = 1\n");
  EXPECT_THAT(error, HasSubstr("e.toml:3:1: rat: "));
  EXPECT_THAT(error, HasSubstr("Did you mean 'rate'?"));
}

TEST(Schema, SaysWhatItExpectedAndFound) {
  EXPECT_THAT(errors_of("needed = true\nrate = \"x\"\n"),
              HasSubstr("expected a number, got a string (\"x\")"));
  EXPECT_THAT(errors_of("needed = true\ncount = 3\n"), HasSubstr("expected one of 1, 2, 4, got 3"));
  EXPECT_THAT(errors_of("needed = true\nrate = 2\n"), HasSubstr("between 0 and 1, got 2.0"));
  EXPECT_THAT(errors_of("needed = true\nsizes = [1, 0]\n"), HasSubstr(">= 1, got 0"));
  EXPECT_THAT(errors_of("needed = true\nlimit = 0\n"), HasSubstr("> 0, got 0"));
  EXPECT_THAT(errors_of("needed = true\ninner = 1\n"),
              HasSubstr("expected a table, got an integer (1)"));
  EXPECT_THAT(errors_of("needed = true\ncount = 1.5\n"), HasSubstr("expected an integer"));
  EXPECT_THAT(errors_of("needed = true\n[inner]\ndepth = 0\n"), HasSubstr("inner.depth"));
}

TEST(Schema, CollectsAllMistakesAndCrossRules) {
  const std::string error = errors_of("rate = 2\nmode = \"c\"\n");
  EXPECT_THAT(error, HasSubstr("rate"));
  EXPECT_THAT(error, HasSubstr("mode"));
  EXPECT_THAT(error, HasSubstr("needed"));
  EXPECT_THAT(errors_of("needed = true\ncount = 4\nmode = \"b\"\n"), HasSubstr("not both"));
}

TEST(Schema, WritesDefaultsThatReadBack) {
  const Options options;
  const ConfigNode table = schema_of<Options>().write(&options);
  EXPECT_EQ(
      to_toml(table),
      "count = 1\nrate = 0.5\nmode = \"a\"\nsizes = [1]\nneeded = false\n\n[inner]\ndepth = 3\n");
  EXPECT_EQ(errors_of(to_toml(table)), "");
}

}  // namespace
}  // namespace tessera
