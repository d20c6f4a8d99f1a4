// The description of a data set: the [data] table of an experiment. What is accepted keeps its
// rules, and what is written of it (resolved.toml) says the same.

#include <string>

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "core/plugin/descriptor.h"
#include "launcher/data/data_options.h"
#include "tests/fuzz/target.h"

namespace {

using namespace tessera;

/// Steps and samplers are plugins of LibTorch's world; this one stands for all of them.
struct Sides {
  std::vector<int64_t> short_sides;
  std::optional<int64_t> max_side;
  int64_t smallest = 1, largest = 1;
  static void describe(Schema<Sides>& schema) {
    schema.field("short_sides", &Sides::short_sides, "Sides.").at_least(1);
    schema.field("max_side", &Sides::max_side, "A limit.").at_least(1);
    schema.field("smallest", &Sides::smallest, "The smallest.").required();
    schema.field("largest", &Sides::largest, "The largest.");
    schema.validate([](const Sides& sides) {
      if (sides.smallest > sides.largest) throw ConfigError("smallest: expected at most largest.");
    });
  }
};

struct Others {
  std::vector<int64_t> short_sides;
  std::optional<int64_t> max_side;
  bool per_frame = false, wrap_overflow = false;
  double shuffle_channels = 0.5;
  int64_t reach = 20, every = 1;
  static void describe(Schema<Others>& schema) {
    schema.field("short_sides", &Others::short_sides, "Sides.").at_least(1);
    schema.field("max_side", &Others::max_side, "A limit.").at_least(1);
    schema.field("per_frame", &Others::per_frame, "A switch.");
    schema.field("wrap_overflow", &Others::wrap_overflow, "A switch.");
    schema.field("shuffle_channels", &Others::shuffle_channels, "A probability.").between(0, 1);
    schema.field("every", &Others::every, "A distance.").at_least(1);
    schema.field("reach", &Others::reach, "A distance.").at_least(1);
  }
};

struct Nothing {
  static void describe(Schema<Nothing>&) {}
};

template <class Options>
PluginDescriptor descriptor_of(const char* kind, const char* name) {
  return {kind,
          name,
          "",
          []() -> const SchemaBase& { return schema_of<Options>(); },
          []() -> std::shared_ptr<void> { return std::make_shared<Options>(); },
          nullptr};
}

class Steps final : public PluginLookup {
 public:
  const PluginDescriptor& find(const std::string& kind, const std::string& name) override {
    for (const PluginDescriptor* plugin : opened(kind))
      if (plugin->name == name) return *plugin;
    throw PluginError("expected a known " + kind + ", got '" + name + "'.");
  }
  std::vector<const PluginDescriptor*> opened(const std::string& kind) const override {
    if (kind == "sampler") return {&window_, &near_and_far_};
    return {&crop_, &flip_, &photometric_, &resize_};
  }

 private:
  PluginDescriptor window_ = descriptor_of<Nothing>("sampler", "window_ending_at");
  PluginDescriptor near_and_far_ = descriptor_of<Others>("sampler", "near_and_far");
  PluginDescriptor crop_ = descriptor_of<Sides>("augmentation", "crop");
  PluginDescriptor flip_ = descriptor_of<Nothing>("augmentation", "flip");
  PluginDescriptor photometric_ = descriptor_of<Others>("augmentation", "photometric");
  PluginDescriptor resize_ = descriptor_of<Others>("augmentation", "resize");
};

DataOptions read_options(std::string_view text) {
  static Steps steps;  // the options refer to its descriptors
  DataOptions options;
  ReadContext context(&steps);
  schema_of<DataOptions>().read(&options, parse_toml(std::string(text), "data.toml"), "data",
                                context);
  context.throw_if_failed();
  return options;
}

bool is_in_order(const AugmentStepOptions& step) {
  const auto& sides = *static_cast<const Sides*>(step.options.get());
  return sides.smallest <= sides.largest;
}

void check(const DataOptions& options) {
  fuzz::expect(options.num_frames >= 1 && options.num_categories >= 1 && options.workers >= 0,
               "counts lie in their ranges");
  fuzz::expect(options.normalise.mean.size() == 3 && options.normalise.deviation.size() == 3,
               "there are three channels");
  for (const AugmentStepOptions& step : options.augment.steps)
    fuzz::expect(step.name != "crop" || is_in_order(step), "a crop has sides in rising order");
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
  } catch (const PluginError&) {
    return 0;
  }
  check(options);
  const std::string written = to_toml(schema_of<DataOptions>().write(&options));
  const DataOptions again = read_options(written);  // throws: what is written is not accepted
  fuzz::expect(to_toml(schema_of<DataOptions>().write(&again)) == written,
               "what is written says the same");
  return 0;
}
