"""IFC: frames that attend by themselves and exchange what they find through memory tokens."""
import torch
import torch.nn.functional as F
from torch import nn

from .parts import Backbone, Ffn, Mlp, assign, dice_loss, focal_loss, position_2d, with_rates

DIM, HEADS, HIDDEN, DROPOUT = 256, 8, 2048, 0.1
LAYERS, TOKENS, QUERIES, CLASSES = 3, 8, 100, 41


class EncoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(DIM, HEADS, DROPOUT, batch_first=True)
        self.norm, self.ffn, self.dropout = nn.LayerNorm(DIM), Ffn(DIM, HIDDEN, DROPOUT), nn.Dropout(DROPOUT)

    def forward(self, x, position):
        read = self.attention(x + position, x + position, x)[0]
        return self.ffn(self.norm(x + self.dropout(read)))


class Encoder(nn.Module):
    """A layer within each frame, then one within each memory token's own frames, and so on."""

    def __init__(self):
        super().__init__()
        self.of_frames = nn.ModuleList(EncoderLayer() for _ in range(LAYERS))
        self.of_tokens = nn.ModuleList(EncoderLayer() for _ in range(LAYERS))
        self.tokens = nn.Parameter(torch.randn(TOKENS, DIM) / 2)
        self.token_positions = nn.Parameter(torch.randn(TOKENS, DIM) / 2)

    def forward(self, x, position):
        """in: x [T,S,D], position [S,D]. out: the same with the memory tokens behind the cells."""
        cells = x.shape[1]
        position = torch.cat((position, self.token_positions))
        tokens = self.tokens.expand(len(x), -1, -1)
        for of_frames, of_tokens in zip(self.of_frames, self.of_tokens):
            x, tokens = of_frames(torch.cat((x, tokens), 1), position).split([cells, TOKENS], 1)
            tokens = of_tokens(tokens.transpose(0, 1), 0).transpose(0, 1)
        return torch.cat((x, tokens), 1), position


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.own, self.cross = (nn.MultiheadAttention(DIM, HEADS, DROPOUT, batch_first=True) for _ in range(2))
        self.norm1, self.norm2, self.ffn = nn.LayerNorm(DIM), nn.LayerNorm(DIM), Ffn(DIM, HIDDEN, DROPOUT)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x, embedding, memory, position):
        x = self.norm1(x + self.dropout(self.own(x + embedding, x + embedding, x)[0]))
        read = self.cross(x + embedding, memory + position, memory)[0]
        return self.ffn(self.norm2(x + self.dropout(read)))


class SpatialDecoder(nn.Module):
    """Features at stride 8 from the encoder's cells and the backbone's finer levels."""

    def __init__(self):
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(DIM, DIM, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.GroupNorm(32, DIM) for _ in range(3))
        self.adapters = nn.ModuleList(nn.Conv2d(width, DIM, 1) for width in (1024, 512))
        self.depthwise, self.pointwise = nn.Conv2d(DIM, DIM, 5, padding=2, groups=DIM), nn.Conv2d(DIM, DIM, 1)

    def forward(self, x, finer):
        x = self.norms[0](self.convolutions[0](x))
        for i, features in enumerate(finer):
            level = self.adapters[i](features)
            x = level + F.interpolate(x, size=level.shape[-2:], mode="nearest")
            x = self.norms[i + 1](self.convolutions[i + 1](x))
        return F.relu(self.pointwise(F.relu(self.depthwise(F.relu(x)))))


class Ifc(nn.Module):
    def __init__(self, frames):
        super().__init__()
        self.backbone = Backbone(frozen=True)
        self.projection, self.encoder, self.spatial = nn.Conv2d(2048, DIM, 1), Encoder(), SpatialDecoder()
        self.embedding = nn.Embedding(QUERIES, DIM)
        self.decoder, self.norm = nn.ModuleList(DecoderLayer() for _ in range(LAYERS)), nn.LayerNorm(DIM)
        self.classes, self.masks = Mlp(DIM, DIM, CLASSES, 2), Mlp(DIM, DIM, DIM, 3)

    def forward(self, frames):
        """[T,3,H,W] -> class logits [L,Q,C] and masks [L,Q,T,h,w] at stride 8; of the last layer alone outside
        training, as the reference."""
        _, c3, c4, c5 = self.backbone(frames)
        source = self.projection(c5)
        height, width = source.shape[-2:]
        memory, position = self.encoder(source.flatten(2).transpose(1, 2), position_2d(height, width, DIM).view(-1, DIM))
        cells = memory[:, : height * width].transpose(1, 2).unflatten(2, (height, width))
        features = self.spatial(cells, (c4, c3))
        memory, position = memory.reshape(1, -1, DIM), position.repeat(len(frames), 1)
        embedding = self.embedding.weight.unsqueeze(0)
        x, layers = torch.zeros_like(embedding), []
        for layer in self.decoder:
            x = layer(x, embedding, memory, position)
            layers.append(x)
        x = self.norm(torch.cat(layers if self.training else layers[-1:]))
        return self.classes(x), torch.einsum("lqc,tchw->lqthw", self.masks(x), features)

    def raw(self, frames):
        return self(frames)

    def infer(self, frames):
        """The ten best (query, class) pairs. The reference takes all pairs above 0.01, with random weights thousands."""
        classes, masks = self(frames)
        score, index = classes[-1].softmax(-1)[:, :-1].flatten().topk(10)
        chosen = masks[-1, index // (CLASSES - 1)]
        chosen = F.interpolate(chosen, size=frames.shape[-2:], mode="bilinear", align_corners=False)
        return chosen.sigmoid() > 0.5, score, index % (CLASSES - 1)

    @torch.no_grad()
    def match(self, classes, masks, label, goal):
        p = masks.sigmoid()
        overlap = (2 * p @ goal.t() + 1) / (p.sum(1)[:, None] + goal.sum(1) + 1)
        return assign(-classes.softmax(-1)[:, label] - 3 * overlap)

    def loss(self, frames, targets):
        label, weight = targets["labels"], torch.ones(CLASSES)
        weight[-1] = 0.1
        size = [-(-side // 4) for side in frames.shape[-2:]]
        goal = F.interpolate(targets["masks"].float(), size=size, mode="bilinear", align_corners=False).flatten(1)
        total = 0
        for classes, masks in zip(*self(frames)):
            masks = F.interpolate(masks, size=size, mode="bilinear", align_corners=False).flatten(1)
            query, target = self.match(classes, masks, label, goal)
            wanted = torch.full((QUERIES,), CLASSES - 1)
            wanted[query] = label[target]
            total = total + F.cross_entropy(classes, wanted, weight)
            total = total + 3 * focal_loss(masks[query], goal[target], len(label))
            total = total + 3 * dice_loss(masks[query], goal[target], len(label))
        return total

    def optimiser(self):
        return torch.optim.AdamW(with_rates(self, 1e-4), weight_decay=1e-4)

    clip_norm = 0.01
