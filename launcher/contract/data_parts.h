#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/interfaces/augmentation.h"
#include "core/interfaces/sampler.h"

namespace tessera::contract {

/// Puts a clip with two instances through a step, in both ways of resizing, and checks that frames
/// and masks have the size that the plan states, that levels lie in 0..255, and that the same
/// random numbers give the same clip.
/// out: frames and masks. Throws Error where the contract is broken.
std::vector<at::Tensor> run_augmentation(const Augmentation& part, int64_t num_frames);

/// Draws clips of videos of 1 to 40 frames and checks the number of samples and frames, that every
/// frame is in its video, and that the same random numbers give the same clip.
/// out: the frames of some clips. Throws Error where the contract is broken.
std::vector<at::Tensor> run_sampler(const Sampler& part, int64_t num_frames);

}  // namespace tessera::contract
