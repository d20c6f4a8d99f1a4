#pragma once
// Runs a part of each kind once on inputs.h and checks the shapes that its kind promises.
// out: every floating-point tensor that it gave. Throws Error where a promise is broken.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/interfaces/attention.h"
#include "core/interfaces/auxiliary.h"
#include "core/interfaces/backbone.h"
#include "core/interfaces/encoder.h"
#include "core/interfaces/feature_loss.h"
#include "core/interfaces/instance_head.h"
#include "core/interfaces/linker.h"
#include "core/interfaces/loss.h"
#include "core/interfaces/mask_head.h"
#include "core/interfaces/matcher.h"
#include "launcher/contract/inputs.h"

namespace tessera::contract {

// feature_parts.cpp
std::vector<at::Tensor> run_backbone(Backbone& part, int64_t frames, Numbers& numbers);
std::vector<at::Tensor> run_attention(Attention& part, int64_t frames, Numbers& numbers);
std::vector<at::Tensor> run_encoder(Encoder& part, int64_t frames, Numbers& numbers);

// head_parts.cpp
std::vector<at::Tensor> run_instance_head(InstanceHead& part, int64_t frames, Numbers& numbers);
std::vector<at::Tensor> run_mask_head(MaskHead& part, int64_t frames, Numbers& numbers);

// loss_parts.cpp
std::vector<at::Tensor> run_matcher(Matcher& part, int64_t frames, Numbers& numbers);
std::vector<at::Tensor> run_loss(Loss& part, int64_t frames, Numbers& numbers);
std::vector<at::Tensor> run_feature_loss(FeatureLoss& part, int64_t frames, Numbers& numbers);
std::vector<at::Tensor> run_auxiliary(Auxiliary& part, int64_t frames, Numbers& numbers);

// linker_parts.cpp
std::vector<at::Tensor> run_linker(Linker& part, int64_t frames, Numbers& numbers);

}  // namespace tessera::contract
