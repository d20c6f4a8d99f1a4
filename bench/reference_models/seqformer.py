"""SeqFormer: frames one after the other in attention and in the mask head, as its code has them.

That code makes the masks of every decoder layer, of all queries in inference (of which only the last layer's are
used), and runs the convolutions before them anew each time. `lean` leaves out both.
"""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import generalized_box_iou

from .deformable import DIM, HEADS, HIDDEN, DeformEncoder, MsDeformAttention
from .parts import Backbone, Ffn, Mlp, assign, corners, dice_loss, focal_loss, paired_giou, with_rates

LEVELS, LAYERS, QUERIES, CLASSES, DROPOUT = 4, 6, 300, 42, 0.1
FEATURES, CHANNELS = 8, 8
KERNELS = [(CHANNELS, FEATURES + 2), (CHANNELS, CHANNELS), (1, CHANNELS)]  # an instance's convolutions, out and in


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.own, self.own_box = (nn.MultiheadAttention(DIM, HEADS, DROPOUT, batch_first=True) for _ in range(2))
        self.cross = MsDeformAttention(LEVELS, outputs=2, frame_by_frame=True)
        self.norm1, self.norm2, self.norm1_box, self.norm2_box = (nn.LayerNorm(DIM) for _ in range(4))
        self.ffn, self.ffn_box = Ffn(DIM, HIDDEN, DROPOUT), Ffn(DIM, HIDDEN, DROPOUT)
        self.share, self.dropout = nn.Linear(DIM, 1), nn.Dropout(DROPOUT)

    def forward(self, x, box, embedding, references, memory, shapes):
        """in: x [1,Q,D], box [T|1,Q,D]. out: the same, box [T,Q,D]."""
        x = self.norm2(x + self.dropout(self.own(x + embedding, x + embedding, x)[0]))
        frames = [self.norm2_box(y + self.dropout(self.own_box(y + embedding, y + embedding, y)[0]))
                  for y in box.split(1)]
        box = self.over_time(torch.cat(frames), embedding, len(memory))
        read, read_box = self.cross(box + embedding, memory, references, shapes)
        box = self.ffn_box(self.norm1_box(box + self.dropout(read_box)))
        joined = (read * self.share(box).softmax(0)).sum(0, keepdim=True)
        return self.ffn(self.norm1(x + self.dropout(joined))), box

    def over_time(self, box, embedding, frames):
        """What MS-STS VIS adds."""
        return box


def aligned_double(x):
    """Twice as fine with the corners' cells aligned. [N,1,h,w]."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    x = F.interpolate(x, size=(2 * height + 1, 2 * width + 1), mode="bilinear", align_corners=True)
    return F.pad(x, (1, 0, 1, 0), mode="replicate")[..., : 2 * height, : 2 * width]


class MaskBranch(nn.Module):
    """Of one frame: 8 features at stride 8, and masks at stride 4 by convolutions that each query gives."""

    def __init__(self):
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(DIM, DIM, 3, padding=1) for _ in range(3))
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in ((DIM, DIM // 4), (DIM // 4, FEATURES)))
        self.controller = Mlp(DIM, DIM, sum(a * b + a for a, b in KERNELS), 3)

    def features(self, maps):
        """in: [1,D,h,w] at strides 8, 16, 32."""
        x = None
        for level, convolution in zip(reversed(maps), self.convolutions):
            x = level if x is None else level + F.interpolate(x, size=level.shape[-2:], mode="nearest")
            x = F.relu(convolution(x))
        for convolution in self.narrow:
            x = F.relu(convolution(x))
        return x

    def forward(self, features, parameters, points):
        """in: features [1,8,h,w], parameters [R,169], points [R,2] in pixels. out: [R,2h,2w]."""
        rows, (height, width) = len(points), features.shape[-2:]
        y, x = torch.meshgrid(8 * torch.arange(height) + 4, 8 * torch.arange(width) + 4, indexing="ij")
        away = points[:, :, None, None] - torch.stack((x, y))
        x = torch.cat((away, features.repeat(rows, 1, 1, 1)), 1).view(1, -1, height, width)
        parts = parameters.split([a * b for a, b in KERNELS] + [a for a, _ in KERNELS], 1)
        for i, (_, channels) in enumerate(KERNELS):
            weight, bias = parts[i].reshape(-1, channels, 1, 1), parts[i + len(KERNELS)].flatten()
            x = F.conv2d(x, weight, bias, groups=rows)
            if i + 1 < len(KERNELS):
                x = F.relu(x)
        return aligned_double(x.view(rows, 1, height, width)).squeeze(1)


class Layer(NamedTuple):
    classes: torch.Tensor  # [Q,C]
    boxes: torch.Tensor  # [T,Q,4]
    points: torch.Tensor  # [T,Q,2] where the layer looked, 0..1
    kernels: torch.Tensor  # [Q,169]


def inverse_sigmoid(x):
    return torch.log(x.clamp(min=1e-5) / (1 - x).clamp(min=1e-5))


class SeqFormer(nn.Module):
    depth, decoder_layer, second_attention = LAYERS, DecoderLayer, None

    def __init__(self, frames, lean=False):
        super().__init__()
        self.lean = lean
        self.backbone = Backbone(frozen=True)
        convolutions = [nn.Conv2d(width, DIM, 1) for width in (512, 1024, 2048)]
        convolutions.append(nn.Conv2d(2048, DIM, 3, stride=2, padding=1))
        self.projections = nn.ModuleList(nn.Sequential(conv, nn.GroupNorm(32, DIM)) for conv in convolutions)
        self.encoder = DeformEncoder(LEVELS, DROPOUT, first=0.5, frame_by_frame=True, depth=self.depth,
                                     second_attention=self.second_attention)
        self.queries, self.reference_points = nn.Embedding(QUERIES, 2 * DIM), nn.Linear(DIM, 2)
        self.decoder = nn.ModuleList(self.decoder_layer() for _ in range(self.depth))
        self.classes = nn.ModuleList(nn.Linear(DIM, CLASSES) for _ in range(self.depth))
        self.boxes = nn.ModuleList(Mlp(DIM, DIM, 4, 3) for _ in range(self.depth))
        self.masks = MaskBranch()

    def forward(self, frames):
        """[T,3,H,W] -> the decoder's layers, the memory's maps at strides 8, 16, 32."""
        _, c3, c4, c5 = self.backbone(frames)
        memory, shapes = self.encoder([project(x) for project, x in zip(self.projections, (c3, c4, c5, c5))])
        embedding, x = self.queries.weight.unsqueeze(0).split(DIM, 2)
        box, layers = x, []
        references = self.reference_points(embedding).sigmoid().repeat(len(frames), 1, 1)
        for decoder, classes, boxes in zip(self.decoder, self.classes, self.boxes):
            x, box = decoder(x, box, embedding, references, memory, shapes)
            known = F.pad(inverse_sigmoid(references), (0, 4 - references.shape[-1]))
            found = (boxes(box) + known).sigmoid()
            layers.append(Layer(classes(x)[0], found, references[..., :2], self.masks.controller(x)[0]))
            references = found.detach()
        return layers, self.encoder.as_maps(memory, shapes)[:-1]

    def features(self, maps):
        return [self.masks.features([level[t : t + 1] for level in maps]) for t in range(len(maps[0]))]

    def masks_of(self, layer, rows, features, frames):
        """out: [R,T,h,w] at stride 4."""
        size = torch.tensor([frames.shape[-1], frames.shape[-2]])
        return torch.stack([self.masks(features[t], layer.kernels[rows], layer.points[t, rows] * size)
                            for t in range(len(frames))], 1)

    def raw(self, frames):
        """The decoder's layers, and the masks of all queries after each of them (`lean`: after the last one)."""
        layers, maps = self(frames)
        made, features = [], self.features(maps) if self.lean else None
        for layer in layers[-1:] if self.lean else layers:
            made.append(self.masks_of(layer, torch.arange(QUERIES), features or self.features(maps), frames))
        return layers, made

    def infer(self, frames):
        """Masks of the ten best (query, class) pairs at the frames' size."""
        layers, made = self.raw(frames)
        score, index = layers[-1].classes.sigmoid().flatten().topk(10)
        query = (index // CLASSES).tolist()
        masks = {}
        for row in set(query):
            fine = F.interpolate(made[-1][row].unsqueeze(1), size=frames.shape[-2:], mode="bilinear")
            masks[row] = fine.squeeze(1).sigmoid() > 0.5
        return torch.stack([masks[row] for row in query]), score, index % CLASSES

    @torch.no_grad()
    def match(self, layer, label, boxes):
        p = layer.classes.sigmoid()
        miss = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log()
        false_alarm = 0.75 * p**2 * -(1 - p + 1e-8).log()
        distance = torch.cdist(layer.boxes.transpose(0, 1).flatten(1), boxes.flatten(1), p=2)
        overlap = torch.stack([generalized_box_iou(corners(a), corners(b))
                               for a, b in zip(layer.boxes, boxes.transpose(0, 1))]).mean(0)
        return assign(2 * (miss - false_alarm)[:, label] + 5 * distance - 2 * overlap)

    def loss(self, frames, targets):
        layers, maps = self(frames)
        features = self.features(maps) if self.lean else None
        label, count = targets["labels"] + 1, len(targets["labels"])  # classes are category ids
        goals = targets["masks"][..., 2::4, 2::4].float()
        total = 0
        for layer in layers:
            row, target = self.match(layer, label, targets["boxes"])
            wanted = torch.zeros_like(layer.classes)
            wanted[row, label[target]] = 1
            total = total + 2 * CLASSES * focal_loss(layer.classes, wanted, count)  # a sum over classes
            found, goal = layer.boxes[:, row].transpose(0, 1), targets["boxes"][target]
            total = total + 5 * F.l1_loss(found, goal, reduction="sum") / len(frames) / count
            total = total + 2 * (1 - paired_giou(found.flatten(0, 1), goal.flatten(0, 1))).sum() / len(frames) / count
            masks = self.masks_of(layer, row, features or self.features(maps), frames).flatten(1)
            goal = goals[target].flatten(1)
            total = total + 2 * focal_loss(masks, goal, count) + 5 * dice_loss(masks, goal, count)
        return total

    def optimiser(self):
        slow = ("backbone.", "reference_points.", "attention.offsets.", "cross.offsets.")
        return torch.optim.AdamW(with_rates(self, 2e-4, slow), weight_decay=1e-4)

    clip_norm = 0.1
