"""SimVTR: VisTR with fewer layers, queries of the clip, and a second deformable convolution that gives the mask."""
import math

import torch
from torch import nn
from torchvision.ops import deform_conv2d

from .vistr import DIM, MaskHead, VisTR


class MaskHeadOfTwo(MaskHead):
    def __init__(self):
        super().__init__()
        self.offset2 = nn.Conv2d(DIM // 16, 18, 1)
        self.last2 = nn.Conv2d(DIM // 16, 1, 3, padding=1, bias=False)
        nn.init.normal_(self.offset2.weight, std=0.05)

    def forward(self, memory, maps, fine):
        x = super().forward(memory, maps, fine)
        return deform_conv2d(x, self.offset2(x), self.last2.weight, padding=1)


class AdaBelief(torch.optim.Optimizer):
    """Decoupled decay, rectified; epsilon goes into the stored state each step. A parameter at a time, as usual."""

    def __init__(self, parameters, lr, weight_decay, betas=(0.9, 0.999), eps=1e-16):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.step_one(parameter, self.state[parameter], **group)

    @staticmethod
    def step_one(parameter, state, lr, weight_decay, betas, eps, **_):
        if not state:
            state.update(step=0, mean=torch.zeros_like(parameter), variance=torch.zeros_like(parameter))
        state["step"] += 1
        step, mean, variance, (beta1, beta2) = state["step"], state["mean"], state["variance"], betas
        parameter.mul_(1 - lr * weight_decay)
        mean.mul_(beta1).add_(parameter.grad, alpha=1 - beta1)
        surprise = parameter.grad - mean
        variance.mul_(beta2).addcmul_(surprise, surprise, value=1 - beta2).add_(eps)
        power = beta2**step
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * power / (1 - power)
        rate = lr / (1 - beta1**step)
        if length < 5:
            parameter.add_(mean, alpha=-rate)
            return
        rectified = (1 - power) * (length - 4) / (longest - 4) * (length - 2) / length * longest / (longest - 2)
        parameter.addcdiv_(mean, variance.sqrt().add_(eps), value=-rate * math.sqrt(rectified))


class SimVTR(VisTR):
    """The shapes are VisTR's; classes and boxes are the same in all frames."""

    def __init__(self, frames):
        super().__init__(frames=1, depth=4)  # queries of one frame serve all
        self.mask_head, self.track_head = MaskHeadOfTwo(), None

    @staticmethod
    def of_frames(layers, count):
        return layers.repeat(1, count, 1, 1)

    def of_tracks(self, features):
        return features.squeeze(1)

    def optimiser(self):
        return AdaBelief([p for p in self.parameters() if p.requires_grad], lr=1e-5, weight_decay=1e-4)
