#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/interfaces/build_context.h"
#include "core/interfaces/decoder.h"
#include "core/plugin/descriptor.h"
#include "launcher/contract/inputs.h"
#include "launcher/contract/named_check.h"

namespace tessera::contract {

/// What a decoder asks for beside today's memory, by Decoder::reads().
struct DecoderSurroundings {
  int64_t stages = 0;   // before it
  bool tokens = false;  // prefix tokens and a rotation
};

DecoderSurroundings surroundings_of(const StageReads& reads);
/// Those that a decoder can be made in. `context`: what it is told without any.
DecoderSurroundings find_surroundings(const PluginDescriptor& plugin, const void* options,
                                      const BuildContext& context);
/// Adds what a decoder is told of its surroundings.
void surround(BuildContext& context, const DecoderSurroundings& surroundings);

/// Runs a decoder once. out: its embeddings. Throws Error where its spec() is broken.
std::vector<at::Tensor> run_decoder(Decoder& part, int64_t frames, Numbers& numbers);
/// What a decoder with a state promises beside; none for others.
std::vector<NamedCheck> state_checks(Decoder& part, int64_t frames);

}  // namespace tessera::contract
