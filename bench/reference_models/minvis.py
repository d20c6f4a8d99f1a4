"""MinVIS: Mask2Former's model on single frames, which are joined by the embeddings of their queries."""
import torch
import torch.nn.functional as F

from .deformable import DIM, HEADS
from .mask2former_vis import CLASSES, LEVELS, QUERIES, Mask2FormerVis, position_2d
from .parts import assign


class MinVis(Mask2FormerVis):
    """Its parameters are Mask2Former-VIS'; queries, positions and masks are a frame's own."""

    def predict(self, x, pixels, size):
        x = self.norm(x)
        masks = torch.einsum("tqc,tchw->tqhw", self.masks(x), pixels)
        small = F.interpolate(masks, size=size, mode="bilinear", align_corners=False)
        blocked = (small.flatten(2).sigmoid() < 0.5).repeat_interleave(HEADS, 0).detach()
        return self.classes(x), masks.unsqueeze(2), blocked

    def forward(self, frames):
        """[T,3,H,W] -> of each layer class logits [T,Q,C], masks [T,Q,1,h,w]."""
        maps, pixels = self.pixels(self.backbone(frames))
        levels = [x.flatten(2).transpose(1, 2) + self.level_embed.weight[i] for i, x in enumerate(maps)]
        positions = [position_2d(*x.shape[-2:], DIM).view(1, -1, DIM) for x in maps]
        x = self.features.weight.expand(len(frames), -1, -1)
        embedding = self.embedding.weight.expand(len(frames), -1, -1)
        classes, masks, blocked = self.predict(x, pixels, maps[0].shape[-2:])
        outputs = [(classes, masks)]
        for i, layer in enumerate(self.layers):
            blocked &= ~blocked.all(-1, keepdim=True)
            x = layer(x, embedding, levels[i % LEVELS], positions[i % LEVELS], blocked)
            classes, masks, blocked = self.predict(x, pixels, maps[(i + 1) % LEVELS].shape[-2:])
            outputs.append((classes, masks))
        self.last_embeddings = self.norm(x)
        return outputs

    def infer(self, frames):
        """Frames are joined one after the other; class logits are averaged over them."""
        padded = self.padded(frames)
        classes, masks = self(padded)[-1]
        embeddings = F.normalize(self.last_embeddings, dim=-1)
        orders = [torch.arange(QUERIES)]
        for before, now in zip(embeddings, embeddings[1:]):
            orders.append(assign(1 - before[orders[-1]] @ now.t())[1])
        order = torch.stack(orders)  # [T,Q]
        classes = classes.gather(1, order[..., None].expand(-1, -1, CLASSES)).mean(0)
        masks = torch.stack([masks[t, rows, 0] for t, rows in enumerate(order)], 1)  # [Q,T,h,w]
        score, index = classes.softmax(-1)[:, :-1].flatten().topk(10)
        chosen = F.interpolate(masks[index // (CLASSES - 1)], size=padded.shape[-2:], mode="bilinear")
        height, width = frames.shape[-2:]
        return chosen[..., :height, :width] > 0, score, index % (CLASSES - 1)

    def loss(self, frames, targets):
        raise NotImplementedError("MinVIS is trained on single frames, as Mask2FormerVis with frames = 1")
