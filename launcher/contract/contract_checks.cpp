#include "launcher/contract/contract_checks.h"

#include <ATen/ATen.h>

#include <functional>

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "launcher/contract/harness.h"

namespace tessera::contract {
namespace {

/// The plugin's defaults, with its example for options that have none, read as a file is.
std::shared_ptr<void> default_options(const PluginDescriptor& plugin, Registry& registry) {
  auto options = plugin.make_options();
  ReadContext context(&registry);
  plugin.schema().read(options.get(), parse_toml(plugin.example, "example"), plugin.name, context);
  context.throw_if_failed();
  return options;
}

std::shared_ptr<Part> build(const PluginDescriptor& plugin, const void* options,
                            const Harness& harness) {
  auto part = plugin.create(options, harness.context(plugin.kind));
  if (!part) throw PluginError("expected a part, got nothing.");
  part->eval();
  return part;
}

void check_documented(const SchemaBase& schema, const std::string& prefix) {
  for (const Field& field : schema.fields()) {
    if (field.doc.empty())
      throw PluginError("expected every option to be documented, got none for " + prefix +
                        field.name + ".");
    if (field.nested) check_documented(*field.nested(), prefix + field.name + ".");
  }
  if (const KindField* choice = schema.kind_field())
    for (const KindSchema& kind : choice->kinds) check_documented(*kind.schema, prefix);
}

void expect_equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b,
                  double tolerance, const std::string& what) {
  for (size_t i = 0; i < a.size(); ++i) {
    const at::Tensor x = a[i].detach().to(at::kDouble), y = b[i].detach().to(at::kDouble);
    const double scale = std::max(1.0, y.abs().max().item<double>());
    const double difference = (x - y).abs().max().item<double>();
    if (!(difference <= tolerance * scale))
      throw RuntimeError("expected " + what + " within " + std::to_string(tolerance * scale) +
                         ", got a difference of " + std::to_string(difference) + " in output " +
                         std::to_string(i) + ".");
  }
}

void check_gradients(Part& part, const Harness& harness) {
  at::Tensor sum;
  for (const at::Tensor& output : harness.run(part, at::kFloat)) {
    if (!output.isfinite().all().item<bool>())
      throw RuntimeError("expected finite outputs, got NaN or infinity.");
    if (!output.requires_grad()) continue;
    const at::Tensor term = (output * output.detach().sin()).sum();
    sum = sum.defined() ? sum + term : term;
  }
  if (!sum.defined()) return;
  sum.backward();
  for (const auto& item : part.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    const at::Tensor& gradient = item.value().grad();
    if (!gradient.defined())
      throw RuntimeError("expected a gradient for every parameter, got none for " + item.key() +
                         ".");
    if (!gradient.isfinite().all().item<bool>())
      throw RuntimeError("expected finite gradients, got NaN or infinity for " + item.key() + ".");
  }
}

void copy_state(Part& from, Part& to) {
  at::NoGradGuard no_grad;
  auto target_parameters = to.named_parameters();
  for (const auto& item : from.named_parameters())
    target_parameters[item.key()].copy_(item.value());
  auto target_buffers = to.named_buffers();
  for (const auto& item : from.named_buffers()) target_buffers[item.key()].copy_(item.value());
}

}  // namespace

std::vector<CheckResult> check_plugin(const PluginDescriptor& plugin, Registry& registry) {
  std::vector<CheckResult> results;
  auto check = [&](const std::string& name, const std::function<void()>& body) {
    CheckResult result{name, true, ""};
    try {
      body();
    } catch (const std::exception& error) {  // reported as this check's result, for all to be seen
      result.passed = false;
      result.problem = error.what();
    }
    results.push_back(std::move(result));
    return results.back().passed;
  };

  check("has a one-line summary", [&] {
    if (!plugin.summary || !*plugin.summary ||
        std::string(plugin.summary).find('\n') != std::string::npos)
      throw PluginError("expected one line, got none or several.");
  });
  check("documents every option", [&] { check_documented(plugin.schema(), ""); });
  check("refuses an unknown key", [&] {
    auto options = plugin.make_options();
    ReadContext context(&registry);
    plugin.schema().read(options.get(), parse_toml("no_such_option = 1", "check"), "check",
                         context);
    if (!context.failed()) throw PluginError("expected an error for no_such_option, got none.");
  });

  std::shared_ptr<void> options;
  if (!check("has defaults that its own schema accepts",
             [&] { options = default_options(plugin, registry); }))
    return results;
  for (const int64_t frames : {int64_t{1}, int64_t{3}}) {
    Harness harness(frames);
    harness.prepare_for(plugin, options.get());
    const std::string at_frames = " at T = " + std::to_string(frames);
    std::shared_ptr<Part> part;
    if (!check("builds and gives the promised shapes" + at_frames, [&] {
          part = build(plugin, options.get(), harness);
          at::NoGradGuard no_grad;
          harness.run(*part, at::kFloat);
        }))
      continue;
    check("has finite gradients" + at_frames, [&] { check_gradients(*part, harness); });
    at::NoGradGuard no_grad;
    check("repeats itself bit for bit" + at_frames, [&] {
      expect_equal(harness.run(*part, at::kFloat), harness.run(*part, at::kFloat), 0.0,
                   "the same outputs twice");
    });
    check("moves its state to a second instance" + at_frames, [&] {
      auto second = build(plugin, options.get(), harness);
      copy_state(*part, *second);
      expect_equal(harness.run(*second, at::kFloat), harness.run(*part, at::kFloat), 0.0,
                   "equal outputs");
    });
    for (const NamedCheck& further : harness.further_checks(*part))
      check(further.name + at_frames, further.body);
    check("agrees in double and float" + at_frames, [&] {
      const auto single = harness.run(*part, at::kFloat);
      part->to(at::kDouble);
      expect_equal(single, harness.run(*part, at::kDouble), 1e-3, "double and float to agree");
    });
  }
  return results;
}

}  // namespace tessera::contract
