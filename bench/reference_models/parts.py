"""What several systems share."""
import math

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn
from torchvision.models import resnet50
from torchvision.ops import generalized_box_iou
from torchvision.ops.misc import FrozenBatchNorm2d


class Backbone(nn.Module):
    """ResNet-50 with frozen batch norm: [N,3,H,W] -> features at strides 4, 8, 16, 32."""

    def __init__(self, frozen):
        super().__init__()
        net = resnet50(norm_layer=FrozenBatchNorm2d)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])
        if frozen:  # stem and first stage take no gradient
            for parameter in [*self.stem.parameters(), *net.layer1.parameters()]:
                parameter.requires_grad_(False)

    def forward(self, frames):
        x, features = self.stem(frames), []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Mlp(nn.Module):
    def __init__(self, dim, hidden, out, layers):
        super().__init__()
        widths = [dim] + [hidden] * (layers - 1) + [out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


def sine(index, dim):
    """[...] angles -> [...,dim]: sines at even places, cosines at odd ones."""
    step = 10000 ** (2 * (torch.arange(dim) // 2) / dim)
    angle = index[..., None] / step
    return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), -1).flatten(-2)


def axis(count, first=1.0):
    return (torch.arange(count, dtype=torch.float32) + first) / (count + 1e-6) * 2 * math.pi


def position_2d(height, width, dim, first=1.0):
    """[H,W,dim], half of it y and half x; `first` is where cell 0 lies, in cells."""
    y = sine(axis(height, first), dim // 2)[:, None].expand(height, width, -1)
    x = sine(axis(width, first), dim // 2)[None].expand(height, width, -1)
    return torch.cat((y, x), -1)


def position_3d(frames, height, width, dim):
    """[T,H,W,dim], a third each of time, y and x (VisTR)."""
    shape = (frames, height, width, dim // 3)
    z = sine(axis(frames), dim // 3)[:, None, None].expand(shape)
    y = sine(axis(height), dim // 3)[None, :, None].expand(shape)
    x = sine(axis(width), dim // 3)[None, None].expand(shape)
    return torch.cat((z, y, x), -1)


class Ffn(nn.Module):
    def __init__(self, dim, hidden, dropout):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(dim)

    def forward(self, x):
        hidden = self.dropout(F.relu(self.linear1(x)))
        return self.norm(x + self.dropout(self.linear2(hidden)))


def with_rates(model, rate, slow=("backbone.",)):
    """Parameter groups of an optimiser: those whose names hold one of `slow` have a tenth of the rate."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    is_slow = [any(part in name for part in slow) for name, _ in trained]
    return [{"params": [p for (_, p), slowly in zip(trained, is_slow) if slowly], "lr": 0.1 * rate},
            {"params": [p for (_, p), slowly in zip(trained, is_slow) if not slowly], "lr": rate}]


def corners(boxes):
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat((centre - size / 2, centre + size / 2), -1)


def paired_giou(a, b):
    return torch.diag(generalized_box_iou(corners(a), corners(b)))


def assign(cost):
    """in: [Q,N]. out: prediction and target indices."""
    rows, columns = linear_sum_assignment(cost.detach().numpy())
    return torch.as_tensor(rows), torch.as_tensor(columns)


def dice_loss(logits, target, normaliser):
    """in: [N,pixels]."""
    p = logits.sigmoid()
    overlap = (2 * (p * target).sum(1) + 1) / (p.sum(1) + target.sum(1) + 1)
    return (1 - overlap).sum() / normaliser


def focal_loss(logits, target, normaliser, alpha=0.25, gamma=2.0):
    p = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    right = p * target + (1 - p) * (1 - target)
    balance = alpha * target + (1 - alpha) * (1 - target)
    return (balance * entropy * (1 - right) ** gamma).mean(1).sum() / normaliser
