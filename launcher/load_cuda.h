#pragma once

namespace tessera {

/// Loads LibTorch's CUDA library and ours where the driver shows a device. To be called before
/// LibTorch is used, which decides at first use whether there is CUDA.
void load_cuda_if_present();

}  // namespace tessera
