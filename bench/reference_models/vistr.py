"""VisTR, and Deformable VisTR with its attention as grid_sample."""
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import box_iou, deform_conv2d

from .parts import (Backbone, Ffn, Mlp, assign, corners, dice_loss, focal_loss, paired_giou, position_3d,
                    with_rates)

DIM, HEADS, POINTS, SLOTS, CLASSES, DROPOUT = 384, 8, 32, 10, 42, 0.1


class DenseAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(DIM, HEADS, dropout=DROPOUT, batch_first=True)

    def forward(self, query, memory, position, references, shape):
        return self.attention(query, memory + position, memory)[0]


class StDeformAttention(nn.Module):
    """Eq. 2 of Deformable VisTR: K points in space and time for each head, read trilinearly."""

    def __init__(self):
        super().__init__()
        self.offsets = nn.Linear(DIM, HEADS * POINTS * 3)
        self.weights = nn.Linear(DIM, HEADS * POINTS)
        self.value, self.output = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)
        nn.init.zeros_(self.offsets.weight)
        nn.init.uniform_(self.offsets.bias, -3, 3)

    def forward(self, query, memory, position, references, shape):
        frames, height, width = shape
        queries = query.shape[1]
        value = self.value(memory).view(frames, height, width, HEADS, DIM // HEADS).permute(3, 4, 0, 1, 2)
        cells = torch.tensor([width, height, frames], dtype=torch.float32)
        offsets = self.offsets(query).view(queries, HEADS, POINTS, 3) / cells
        weights = self.weights(query).view(queries, HEADS, POINTS).softmax(-1)
        places = 2 * (references.view(queries, 1, 1, 3) + offsets) - 1
        places = places.transpose(0, 1).unsqueeze(1)  # [M,1,Q,K,3]
        read = F.grid_sample(value, places, padding_mode="zeros", align_corners=False)  # [M,d,1,Q,K]
        read = (read.squeeze(2) * weights.transpose(0, 1).unsqueeze(1)).sum(-1)  # [M,d,Q]
        return self.output(read.permute(2, 0, 1).reshape(1, queries, DIM))


class EncoderLayer(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention, self.norm, self.ffn = attention(), nn.LayerNorm(DIM), Ffn(DIM, 2048, DROPOUT)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x, position, references, shape):
        read = self.attention(x + position, x, position, references, shape)
        return self.ffn(self.norm(x + self.dropout(read)))


class DecoderLayer(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.own, self.cross = DenseAttention(), attention()
        self.norm1, self.norm2, self.ffn = nn.LayerNorm(DIM), nn.LayerNorm(DIM), Ffn(DIM, 2048, DROPOUT)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x, embedding, memory, position, references, shape):
        x = self.norm1(x + self.dropout(self.own(x + embedding, x, embedding, None, None)))
        read = self.cross(x + embedding, memory, position, references, shape)
        return self.ffn(self.norm2(x + self.dropout(read)))


class AttentionMap(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_linear, self.k_linear = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)

    def forward(self, query, memory):
        """[1,n,D], [1,D,h,w] -> [1,n,M,h,w]."""
        q = self.q_linear(query).view(1, -1, HEADS, DIM // HEADS)
        k = F.conv2d(memory, self.k_linear.weight[..., None, None], self.k_linear.bias)
        k = k.view(1, HEADS, DIM // HEADS, *memory.shape[-2:])
        score = torch.einsum("bqnc,bnchw->bqnhw", q * (DIM / HEADS) ** -0.5, k)
        return F.softmax(score.flatten(2), -1).view_as(score)


class MaskHead(nn.Module):
    """One frame's maps of all slots: FPN, a deformable convolution last."""

    def __init__(self):
        super().__init__()
        joined = DIM + HEADS
        widths = [joined, DIM // 2, DIM // 4, DIM // 8, DIM // 16]
        ins = [joined, *widths[:-1]]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in list(zip(ins, widths))[:4])
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in widths)
        self.adapters = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip((1024, 512, 256), widths[1:]))
        self.offset = nn.Conv2d(widths[3], 18, 1)
        self.last = nn.Conv2d(widths[3], widths[4], 3, padding=1, bias=False)
        nn.init.normal_(self.offset.weight, std=0.05)

    def forward(self, memory, maps, fine):
        slots = maps.shape[1]
        x = torch.cat((memory.expand(slots, -1, -1, -1), maps.squeeze(0)), 1)
        for i in range(4):
            x = F.relu(self.norms[i](self.layers[i](x)))
            if i > 0:
                level = self.adapters[i - 1](fine[i - 1]).expand(slots, -1, -1, -1)
                x = level + F.interpolate(x, size=level.shape[-2:], mode="nearest")
        x = deform_conv2d(x, self.offset(x), self.last.weight, padding=1)
        return F.relu(self.norms[4](x))


def track_head():
    layers, width = [], DIM // 16
    for i in range(3):
        layers += [nn.Conv3d(width if i == 0 else 12, 12, 3, padding=2, dilation=2), nn.GroupNorm(4, 12), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv3d(12, 1, 1))


class VisTR(nn.Module):
    """Frames [T,3,H,W] -> per layer class logits [T,n,C] and boxes, masks [n,T,H/4,W/4] of the last layer."""

    def __init__(self, frames, deformable=False, depth=6):
        super().__init__()
        attention = StDeformAttention if deformable else DenseAttention
        self.backbone = Backbone(frozen=True)
        self.projection = nn.Conv2d(2048, DIM, 1)
        self.encoder = nn.ModuleList(EncoderLayer(attention) for _ in range(depth))
        self.decoder = nn.ModuleList(DecoderLayer(attention) for _ in range(depth))
        self.norm = nn.LayerNorm(DIM)
        self.embedding = nn.Embedding(frames * SLOTS, DIM)
        self.reference_points = nn.Linear(DIM, 3) if deformable else None
        self.classes, self.boxes = nn.Linear(DIM, CLASSES), Mlp(DIM, DIM, 4, 3)
        self.map, self.mask_head, self.track_head = AttentionMap(), MaskHead(), track_head()

    def forward(self, frames):
        c2, c3, c4, c5 = self.backbone(frames)
        source = self.projection(c5)
        count, _, height, width = source.shape
        shape = (count, height, width)
        x = source.flatten(2).transpose(1, 2).reshape(1, -1, DIM)
        position = position_3d(count, height, width, DIM).view(1, -1, DIM)
        own, looked = None, None
        if self.reference_points is not None:
            t, y, x_axis = ((torch.arange(size) + 0.5) / size for size in shape)
            own = torch.stack(torch.meshgrid(t, y, x_axis, indexing="ij")[::-1], -1).view(-1, 3)
            looked = self.reference_points(self.embedding.weight).sigmoid()
        for layer in self.encoder:
            x = layer(x, position, own, shape)
        memory, embedding = x, self.embedding.weight.unsqueeze(0)
        x, layers = torch.zeros_like(embedding), []
        for layer in self.decoder:
            x = layer(x, embedding, memory, position, looked, shape)
            layers.append(self.norm(x))
        maps = memory.view(count, height * width, DIM).transpose(1, 2).view(count, DIM, height, width)
        layers = self.of_frames(torch.stack(layers), count)
        features = []
        for t in range(count):  # as the reference: a frame at a time, then an instance at a time
            query, memory_t = layers[-1][t : t + 1], maps[t : t + 1]
            fine = [level[t : t + 1] for level in (c4, c3, c2)]
            features.append(self.mask_head(memory_t, self.map(query, memory_t), fine))
        masks = self.of_tracks(torch.stack(features, 2))
        return {"classes": self.classes(layers), "boxes": self.boxes(layers).sigmoid(), "masks": masks}

    @staticmethod
    def of_frames(layers, count):
        """The decoder's layers [L,1,rows,D] -> [L,T,n,D]."""
        return layers.view(len(layers), count, SLOTS, DIM)

    def of_tracks(self, features):
        """[n,C,T,h,w] -> [n,T,h,w]."""
        return torch.cat([self.track_head(features[n : n + 1]) for n in range(SLOTS)]).squeeze(1)

    def raw(self, frames):
        """Class logits, boxes and masks before tracks are made of them."""
        return self(frames)

    def infer(self, frames):
        """Masks of all slots at the frames' size, scores and classes."""
        output = self(frames)
        probability = output["classes"][-1].softmax(-1)[..., :-1]
        score, label = probability.max(-1)
        masks = F.interpolate(output["masks"], size=frames.shape[-2:], mode="bilinear", align_corners=False)
        return masks.sigmoid() > 0.5, score.mean(0), label.mode(0).values

    def match(self, logits, boxes, targets):
        probability = logits.softmax(-1)[..., targets["labels"]].mean(0)  # [n,N]
        goal = targets["boxes"].transpose(0, 1)  # [T,N,4]
        distance = torch.cdist(boxes, goal, p=1).mean(0)
        overlap = torch.stack([box_iou(corners(a), corners(b)) for a, b in zip(boxes, goal)]).mean(0)
        return assign(5 * distance - probability - 2 * overlap)

    def loss(self, frames, targets):
        output = self(frames)
        count, instances = frames.shape[0], len(targets["labels"])
        normaliser = instances * count
        weight = torch.ones(CLASSES)
        weight[-1] = 0.1
        total = 0
        for i, (logits, boxes) in enumerate(zip(output["classes"], output["boxes"])):
            slot, target = self.match(logits, boxes, targets)
            label = torch.full((count, SLOTS), CLASSES - 1)
            label[:, slot] = targets["labels"][target]
            total = total + F.cross_entropy(logits.flatten(0, 1), label.flatten(), weight)
            found, goal = boxes[:, slot].flatten(0, 1), targets["boxes"][target].transpose(0, 1).flatten(0, 1)
            total = total + 5 * F.l1_loss(found, goal, reduction="sum") / normaliser
            total = total + 2 * (1 - paired_giou(found, goal)).sum() / normaliser
        masks = F.interpolate(output["masks"][slot], size=frames.shape[-2:], mode="bilinear", align_corners=False)
        masks, goal = masks.flatten(0, 1).flatten(1), targets["masks"][target].float().flatten(0, 1).flatten(1)
        return total + focal_loss(masks, goal, normaliser) + dice_loss(masks, goal, normaliser)

    def optimiser(self):
        return torch.optim.AdamW(with_rates(self, 1e-4), weight_decay=1e-4)

    clip_norm = 0.1
