"""Multi-scale deformable attention as grid_sample, level by level, and the encoder that is made of it."""
import torch
import torch.nn.functional as F
from torch import nn

from .parts import Ffn, position_2d

DIM, HEADS, POINTS, HIDDEN = 256, 8, 4, 1024


class MsDeformAttention(nn.Module):
    """Frames that each read their own cells, all at once or one after the other."""

    def __init__(self, levels, outputs=1, frame_by_frame=False):
        super().__init__()
        self.levels, self.frame_by_frame = levels, frame_by_frame
        self.offsets = nn.Linear(DIM, HEADS * levels * POINTS * 2)
        self.weights = nn.Linear(DIM, HEADS * levels * POINTS)
        self.value = nn.Linear(DIM, DIM)
        self.outputs = nn.ModuleList(nn.Linear(DIM, DIM) for _ in range(outputs))
        nn.init.zeros_(self.offsets.weight)
        nn.init.uniform_(self.offsets.bias, -3, 3)

    def forward(self, query, x, references, shapes):
        """in: query [T|1,Q,D], x [T,S,D], references [T|1,Q,2 point|4 box]. out: [T,Q,D] of each projection."""
        queries = query.shape[1]
        value = self.value(x).view(len(x), -1, HEADS, DIM // HEADS)
        offsets = self.offsets(query).view(-1, queries, HEADS, self.levels, POINTS, 2)
        weights = self.weights(query).view(-1, queries, HEADS, self.levels * POINTS).softmax(-1)
        given = (value, references, offsets, weights)
        if self.frame_by_frame:
            frames = [[part[t : t + 1] if len(part) > 1 else part for part in given] for t in range(len(x))]
            read = torch.cat([self.sample(*frame, shapes) for frame in frames])
        else:
            read = self.sample(*given, shapes)
        return [output(read) for output in self.outputs]

    def sample(self, value, references, offsets, weights, shapes):
        frames, queries = len(value), offsets.shape[1]
        if references.shape[-1] == 2:
            cells = torch.tensor([[width, height] for height, width in shapes], dtype=torch.float32)
            steps = offsets / cells[:, None]
        else:
            steps = offsets * references[:, :, None, None, None, 2:] * (0.5 / POINTS)
        places = 2 * (references[:, :, None, None, None, :2] + steps) - 1
        read = []
        for level, part in enumerate(value.split([h * w for h, w in shapes], 1)):
            maps = part.flatten(2).transpose(1, 2).reshape(frames * HEADS, DIM // HEADS, *shapes[level])
            grid = places[:, :, :, level].transpose(1, 2).flatten(0, 1)
            read.append(F.grid_sample(maps, grid, padding_mode="zeros", align_corners=False))
        weights = weights.transpose(1, 2).reshape(frames * HEADS, 1, queries, self.levels * POINTS)
        summed = (torch.stack(read, -2).flatten(-2) * weights).sum(-1)
        return summed.view(frames, DIM, queries).transpose(1, 2)


class EncoderLayer(nn.Module):
    def __init__(self, levels, dropout, frame_by_frame, second_attention):
        super().__init__()
        self.attention = MsDeformAttention(levels, frame_by_frame=frame_by_frame)
        self.second_attention = second_attention() if second_attention else None
        self.dropout, self.norm, self.ffn = nn.Dropout(dropout), nn.LayerNorm(DIM), Ffn(DIM, HIDDEN, dropout)

    def forward(self, x, position, references, shapes):
        read = self.attention(x + position, x, references, shapes)[0]
        if self.second_attention is not None:
            read = read + self.second_attention(x + position, shapes)
        return self.ffn(self.norm(x + self.dropout(read)))


class DeformEncoder(nn.Module):
    """Layers over the cells of several levels; `first` as in position_2d. The outputs of a layer's `second_attention`
    are added to those of its deformable attention."""

    def __init__(self, levels, dropout=0.0, first=1.0, frame_by_frame=False, depth=6, second_attention=None):
        super().__init__()
        self.first = first
        self.level_embed = nn.Parameter(torch.randn(levels, DIM))
        self.layers = nn.ModuleList(
            EncoderLayer(levels, dropout, frame_by_frame, second_attention) for _ in range(depth))

    def forward(self, maps):
        """in: [T,D,h,w] of each level. out: [T,S,D] and the levels' shapes."""
        shapes = [tuple(x.shape[-2:]) for x in maps]
        x = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], 1)
        position = torch.cat([position_2d(h, w, DIM, self.first).view(-1, DIM) + self.level_embed[i]
                              for i, (h, w) in enumerate(shapes)])
        references = []
        for h, w in shapes:
            y, across = torch.meshgrid((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w, indexing="ij")
            references.append(torch.stack((across, y), -1).view(-1, 2))
        references = torch.cat(references).unsqueeze(0)
        for layer in self.layers:
            x = layer(x, position, references, shapes)
        return x, shapes

    @staticmethod
    def as_maps(x, shapes):
        parts = x.split([h * w for h, w in shapes], 1)
        return [part.transpose(1, 2).unflatten(2, shape) for part, shape in zip(parts, shapes)]
