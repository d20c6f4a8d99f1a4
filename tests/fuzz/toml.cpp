// An experiment's text: TOML, an override, merging, a schema, and the way back to TOML.

#include <optional>
#include <string>
#include <vector>

#include "core/config/schema.h"
#include "core/config/toml_reader.h"
#include "core/error.h"
#include "tests/fuzz/target.h"

namespace {

using namespace tessera;

/// Every type of field but plugins, which need LibTorch.
struct Part {
  int64_t depth = 3;
  static void describe(Schema<Part>& schema) {
    schema.field("depth", &Part::depth, "Depth.").at_least(1);
  }
};

struct Options {
  int64_t count = 1;
  double rate = 0.5;
  bool on = false;
  std::string mode = "a";
  std::vector<int64_t> sizes = {1};
  std::vector<Part> parts;
  std::optional<double> limit;
  Part part;

  static void describe(Schema<Options>& schema) {
    schema.field("count", &Options::count, "A count.").one_of({1, 2, 4});
    schema.field("rate", &Options::rate, "A rate.").between(0, 1);
    schema.field("on", &Options::on, "A switch.");
    schema.field("mode", &Options::mode, "A mode.").one_of({"a", "b"});
    schema.field("sizes", &Options::sizes, "Sizes.").at_least(1);
    schema.field("parts", &Options::parts, "Tables.");
    schema.field("limit", &Options::limit, "A limit.").more_than(0);
    schema.field("part", &Options::part, "A table.");
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text = fuzz::text_of(bytes, size);
  // The first line is an override as --set takes it, too.
  const std::string_view first_line = text.substr(0, text.find('\n'));
  try {
    ConfigNode lower = parse_toml("count = 2\n[part]\ndepth = 4\n[other]\nplugin = 'x'\n", "lower");
    apply_override(lower, std::string(first_line));
  } catch (const ConfigError&) {
  }
  try {
    ConfigNode root = parse_toml("count = 2\n[part]\ndepth = 4\n", "lower");
    merge_config(root, parse_toml(text, "e.toml"));
    Options options;
    ReadContext context;
    schema_of<Options>().read(&options, root, "", context);
    context.throw_if_failed();
    fuzz::expect(options.rate >= 0 && options.rate <= 1 && options.part.depth >= 1,
                 "what a schema accepts lies in its ranges");
  } catch (const ConfigError&) {
  }
  return 0;
}
