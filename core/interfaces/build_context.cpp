#include "core/interfaces/build_context.h"

#include "core/error.h"

namespace tessera {

std::shared_ptr<Part> BuildContext::make_part(const PluginChoice& choice, const char* kind) const {
  const std::string who = choice.source.text() + ": " + kind + " '" + choice.name + "'";
  if (!choice.descriptor)
    throw PluginError(who + ": expected a plugin that was looked up, got none.");
  try {
    auto part = choice.descriptor->create(choice.options.get(), *this);
    if (!part) throw PluginError(who + ": expected its factory to make a part, got nothing.");
    return part;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw PluginError(who +
                      ": expected its factory to make a part, got an exception: " + error.what());
  }
}

void BuildContext::wrong_kind(const PluginChoice& choice, const char* kind) {
  throw PluginError(choice.source.text() + ": '" + choice.name + "': expected a " + kind +
                    ", got a part of another kind.");
}

}  // namespace tessera
