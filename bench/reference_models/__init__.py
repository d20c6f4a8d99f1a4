"""The usual PyTorch formulations of the systems, as opponents of `tessera bench model`.

Written from the papers and from descriptions of the reference implementations: the same modules, loops and
shapes as those have, with torch.nn's layers, torchvision's ResNet and its deformable convolution, and
grid_sample for deformable attention. They time; that Tessera's outputs are right is what tests/parity shows.
"""
