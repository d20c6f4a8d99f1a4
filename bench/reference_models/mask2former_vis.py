"""Mask2Former-VIS with multi-scale deformable attention as grid_sample."""
import torch
import torch.nn.functional as F
from torch import nn

from .deformable import DIM, HEADS, DeformEncoder
from .parts import Backbone, Ffn, Mlp, assign, axis, position_2d, sine, with_rates

LEVELS, QUERIES, CLASSES = 3, 100, 41
SAMPLES = 12544


class PixelDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, DIM, 1), nn.GroupNorm(32, DIM)) for width in (2048, 1024, 512))
        self.encoder = DeformEncoder(LEVELS)
        self.lateral = nn.Sequential(nn.Conv2d(256, DIM, 1, bias=False), nn.GroupNorm(32, DIM))
        self.smooth = nn.Sequential(nn.Conv2d(DIM, DIM, 3, padding=1, bias=False), nn.GroupNorm(32, DIM), nn.ReLU())
        self.mask_features = nn.Conv2d(DIM, DIM, 1)

    def forward(self, features):
        c2, c3, c4, c5 = features
        maps = self.encoder.as_maps(*self.encoder([project(x) for project, x in zip(self.projections, (c5, c4, c3))]))
        fine = self.lateral(c2)
        fine = fine + F.interpolate(maps[-1], size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return maps, self.mask_features(self.smooth(fine))


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.cross = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        self.own = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        self.norm1, self.norm2, self.ffn = nn.LayerNorm(DIM), nn.LayerNorm(DIM), Ffn(DIM, 2048, 0.0)

    def forward(self, x, embedding, memory, position, blocked):
        read = self.cross(x + embedding, memory + position, memory, attn_mask=blocked)[0]
        x = self.norm1(x + read)
        return self.ffn(self.norm2(x + self.own(x + embedding, x + embedding, x)[0]))


def position_3d(frames, height, width):
    return position_2d(height, width, DIM)[None] + sine(axis(frames), DIM)[:, None, None]


def sample(maps, points):
    """[N,C,H,W] at [N,P,2] in 0..1 -> [N,C,P]."""
    return F.grid_sample(maps, 2 * points.unsqueeze(2) - 1, align_corners=False).squeeze(3)


class Mask2FormerVis(nn.Module):
    def __init__(self, frames):
        super().__init__()
        self.backbone, self.pixels = Backbone(frozen=False), PixelDecoder()
        self.features, self.embedding = nn.Embedding(QUERIES, DIM), nn.Embedding(QUERIES, DIM)
        self.level_embed = nn.Embedding(LEVELS, DIM)
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(9))
        self.norm, self.classes, self.masks = nn.LayerNorm(DIM), nn.Linear(DIM, CLASSES), Mlp(DIM, DIM, DIM, 3)

    def predict(self, x, pixels, size):
        x = self.norm(x)
        masks = torch.einsum("bqc,tchw->bqthw", self.masks(x), pixels)  # [1,Q,T,h,w]
        small = F.interpolate(masks.flatten(0, 1), size=size, mode="bilinear", align_corners=False)
        blocked = (small.flatten(1).sigmoid() < 0.5).unsqueeze(0).repeat(HEADS, 1, 1).detach()
        return self.classes(x), masks, blocked

    def forward(self, frames):
        maps, pixels = self.pixels(self.backbone(frames))
        levels = [x.permute(0, 2, 3, 1).reshape(1, -1, DIM) + self.level_embed.weight[i] for i, x in enumerate(maps)]
        positions = [position_3d(len(frames), *x.shape[-2:]).view(1, -1, DIM) for x in maps]
        x, embedding = self.features.weight.unsqueeze(0), self.embedding.weight.unsqueeze(0)
        classes, masks, blocked = self.predict(x, pixels, maps[0].shape[-2:])
        outputs = [(classes, masks)]
        for i, layer in enumerate(self.layers):
            blocked &= ~blocked.all(-1, keepdim=True)
            x = layer(x, embedding, levels[i % LEVELS], positions[i % LEVELS], blocked)
            classes, masks, blocked = self.predict(x, pixels, maps[(i + 1) % LEVELS].shape[-2:])
            outputs.append((classes, masks))
        return outputs

    @staticmethod
    def padded(frames):
        height, width = frames.shape[-2:]
        return F.pad(frames, (0, -width % 32, 0, -height % 32))

    def raw(self, frames):
        """Class logits and masks of all layers; the frames are padded here."""
        return self(self.padded(frames))

    def infer(self, frames):
        """As the reference: all masks at the padded size, then the ten best (query, class) pairs."""
        padded = self.padded(frames)
        classes, masks = self(padded)[-1]
        masks = F.interpolate(masks[0], size=padded.shape[-2:], mode="bilinear", align_corners=False)
        score, index = classes[0].softmax(-1)[:, :-1].flatten().topk(10)
        height, width = frames.shape[-2:]
        chosen = masks[index // (CLASSES - 1)][:, :, :height, :width]
        chosen = F.interpolate(chosen, size=(height, width), mode="bilinear", align_corners=False)
        return chosen > 0, score, index % (CLASSES - 1)

    def match(self, classes, masks, targets):
        with torch.no_grad():
            count = masks.shape[1]
            points = torch.rand(1, SAMPLES, 2)
            found = sample(masks, points.expand(QUERIES, -1, -1)).flatten(1)
            goal = sample(targets["masks"].float(), points.expand(len(targets["labels"]), -1, -1)).flatten(1)
            pixels = SAMPLES * count
            positive = F.binary_cross_entropy_with_logits(found, torch.ones_like(found), reduction="none")
            negative = F.binary_cross_entropy_with_logits(found, torch.zeros_like(found), reduction="none")
            entropy = (positive @ goal.t() + negative @ (1 - goal).t()) / pixels
            p = found.sigmoid()
            dice = 1 - (2 * p @ goal.t() + 1) / (p.sum(1)[:, None] + goal.sum(1)[None] + 1)
            return assign(5 * entropy - 2 * classes.softmax(-1)[:, targets["labels"]] + 5 * dice)

    def mask_loss(self, masks, goal):
        """in: [N,T,h,w] logits, [N,T,H,W] bool."""
        instances = masks.shape[0]
        masks, goal = masks.flatten(0, 1).unsqueeze(1), goal.float().flatten(0, 1).unsqueeze(1)
        with torch.no_grad():
            offered = torch.rand(len(masks), 3 * SAMPLES, 2)
            certainty = sample(masks, offered).squeeze(1).abs()
            hard = int(0.75 * SAMPLES)
            index = certainty.topk(hard, 1, largest=False).indices
            points = torch.cat((offered.gather(1, index[..., None].expand(-1, -1, 2)),
                                torch.rand(len(masks), SAMPLES - hard, 2)), 1)
            goal = sample(goal, points).squeeze(1)
        found = sample(masks, points).squeeze(1)
        entropy = F.binary_cross_entropy_with_logits(found, goal, reduction="none").mean(1).sum() / instances
        p = found.sigmoid()
        dice = (1 - (2 * (p * goal).sum(1) + 1) / (p.sum(1) + goal.sum(1) + 1)).sum() / instances
        return 5 * entropy + 5 * dice

    def loss(self, frames, targets):
        padded = self.padded(frames)
        height, width = frames.shape[-2:]
        targets = dict(targets, masks=F.pad(targets["masks"], (0, padded.shape[-1] - width, 0, padded.shape[-2] - height)))
        weight = torch.ones(CLASSES)
        weight[-1] = 0.1
        total = 0
        for classes, masks in self(padded):
            classes, masks = classes[0], masks[0]
            query, target = self.match(classes, masks, targets)
            label = torch.full((QUERIES,), CLASSES - 1)
            label[query] = targets["labels"][target]
            total = total + 2 * F.cross_entropy(classes, label, weight)
            total = total + self.mask_loss(masks[query], targets["masks"][target])
        return total

    def optimiser(self):
        return torch.optim.AdamW(with_rates(self, 1e-4), weight_decay=0.05)

    clip_norm = 0.01
