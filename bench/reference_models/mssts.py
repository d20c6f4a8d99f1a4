"""MS-STS VIS: SeqFormer with split attention in the encoder and attention over time in the decoder.

The published code has neither in a form that runs. Both are written here from the paper's figure, with the choices
that docs/mssts.md states. Attention is two products with a softmax between them, as in the published temporal
attention. The discriminator, which only training has, is left out.
"""
import torch
import torch.nn.functional as F
from torch import nn

from .deformable import DIM, HEADS
from .seqformer import DROPOUT, DecoderLayer, SeqFormer

SPLIT_HIDDEN = 512


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj, self.dropout = nn.Linear(DIM, 3 * DIM, bias=False), nn.Linear(DIM, DIM), nn.Dropout(DROPOUT)

    def forward(self, x):
        """in: [N,L,D], sequences that attend within themselves."""
        query, key, value = self.qkv(x).view(*x.shape[:2], 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        score = query * (DIM // HEADS) ** -0.5 @ key.transpose(-2, -1)
        return self.proj((self.dropout(score.softmax(-1)) @ value).transpose(1, 2).flatten(2))


class SplitLayer(nn.Module):
    """Attention over time, cell by cell, then over space, frame by frame, then an FFN."""

    def __init__(self, joins):
        super().__init__()
        self.over_time, self.over_space = SelfAttention(), SelfAttention()
        self.fine, self.coarse = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM) if joins else None
        self.norm1, self.norm2 = nn.LayerNorm(DIM) if joins else None, nn.LayerNorm(DIM)
        self.linear1, self.linear2 = nn.Linear(DIM, SPLIT_HIDDEN), nn.Linear(SPLIT_HIDDEN, DIM)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, fine, coarse=None):
        """in: cells of one level [T,S,D], and of the next coarser one. out: [T,S + S',D]."""
        x = self.fine(fine)
        if coarse is not None:
            x = self.norm1(torch.cat((x, self.coarse(coarse)), 1))
        x = x + self.dropout(self.over_time(x.transpose(0, 1)).transpose(0, 1))
        x = self.norm2(x + self.dropout(torch.cat([self.over_space(frame) for frame in x.split(1)])))
        return x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x)))))


class SplitAttention(nn.Module):
    """Within each level, then between each level and the next coarser one; all levels share the weights."""

    def __init__(self):
        super().__init__()
        self.intra, self.inter, self.output = SplitLayer(joins=False), SplitLayer(joins=True), nn.Linear(DIM, DIM)

    def forward(self, x, shapes):
        """in: [T,S,D], the finest level first."""
        own = x.split([h * w for h, w in shapes], 1)
        levels = [self.intra(level) for level in own]
        finer, done = levels[0], []
        for i, level in enumerate(levels):
            is_last = i + 1 == len(levels)
            joined = self.inter(finer, own[i] if is_last else levels[i + 1])
            done.append(joined[:, : level.shape[1]])
            finer = joined[:, level.shape[1] :]
        return self.output(torch.cat(done, 1))


class TemporalDecoderLayer(DecoderLayer):
    def __init__(self):
        super().__init__()
        self.temporal, self.norm_temporal = SelfAttention(), nn.LayerNorm(DIM)

    def over_time(self, box, embedding, frames):
        """Among the box queries of all frames."""
        box = box.expand(frames, -1, -1)
        read = self.temporal((box + embedding).reshape(1, -1, DIM)).view(box.shape)
        return self.norm_temporal(box + self.dropout(read))


class MsStsVis(SeqFormer):
    depth, decoder_layer, second_attention = 3, TemporalDecoderLayer, SplitAttention

    def loss(self, frames, targets):
        raise NotImplementedError("the discriminator, which takes part in MS-STS VIS' training, is left out here")
