// The description of a data set: the [data] table of an experiment. What is accepted keeps its
// rules, and what is written of it (resolved.toml) says the same.

#include <string>

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "launcher/data/data_options.h"
#include "tests/fuzz/target.h"

namespace {

using namespace tessera;

DataOptions read_options(std::string_view text) {
  DataOptions options;
  ReadContext context;
  schema_of<DataOptions>().read(&options, parse_toml(std::string(text), "data.toml"), "data",
                                context);
  context.throw_if_failed();
  return options;
}

void check(const DataOptions& options) {
  fuzz::expect(options.num_frames >= 1 && options.num_categories >= 1 && options.workers >= 0,
               "counts lie in their ranges");
  fuzz::expect(options.normalise.mean.size() == 3 && options.normalise.deviation.size() == 3,
               "there are three channels");
  for (const AugmentStepOptions& step : options.augment.steps)
    fuzz::expect(step.kind != "crop" || *step.smallest <= *step.largest,
                 "a crop has sides in rising order");
  for (const SetOptions& set : options.train.sets)
    for (const auto& pair : set.class_map) fuzz::expect(pair.size() == 2, "classes map in pairs");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  DataOptions options;
  try {
    options = read_options(fuzz::text_of(data, size));
  } catch (const ConfigError&) {
    return 0;
  }
  check(options);
  const std::string written = to_toml(schema_of<DataOptions>().write(&options));
  const DataOptions again = read_options(written);  // throws: what is written is not accepted
  fuzz::expect(to_toml(schema_of<DataOptions>().write(&again)) == written,
               "what is written says the same");
  return 0;
}
