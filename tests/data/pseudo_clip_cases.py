#!/usr/bin/env python3
"""Frames of a pseudo-clip as imgaug makes them: the stored case of pseudo_clip_test.cpp.

    pseudo_clip_cases.py > pseudo_clip_imgaug.txt

Needs `pip install imgaug==0.4.0 numpy==1.23.5 opencv-python-headless==4.6.0.66 scikit-image==0.20.0`. The steps are
those of SeqFormer's image_to_seq_augmenter.py; every number that imgaug would draw is replaced by the one that
make_pseudo_clip draws from the same seed. Prints a line of hexadecimal levels (row by row, R G B) for each frame
after the first.
"""
import math

import numpy

numpy.bool = bool  # imgaug 0.4.0 uses the name that NumPy 1.24 removed
import imgaug.augmenters as iaa
import imgaug.parameters as iap

SEED, FRAMES, WIDTH, HEIGHT = 3, 13, 24, 18
BLUR_PROBABILITY, BLUR_SIZES = 0.5, (3, 5)
BITS = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & BITS
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & BITS
    return z ^ (z >> 31)


class Random:
    """core/structures/random.h."""

    def __init__(self, key):
        self.state = mix((GOLDEN + mix((key + GOLDEN) & BITS)) & BITS)

    def next(self):
        self.state = (self.state + GOLDEN) & BITS
        return mix(self.state)

    def uniform(self, low=0.0, high=1.0):
        return low + (high - low) * ((self.next() >> 11) * 2.0**-53)

    def integer(self, low, high):
        count = high - low + 1
        value = self.next()
        while value >= BITS // count * count:
            value = self.next()
        return low + value % count

    def normal(self):
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        return radius * math.cos(2 * math.pi * self.uniform())


class Corners(iap.StochasticParameter):
    def __init__(self, values):
        super().__init__()
        self.values = numpy.array(values)

    def _draw_samples(self, size, random_state):
        return numpy.broadcast_to(self.values, size).copy()


def image():
    y, x, channel = numpy.mgrid[:HEIGHT, :WIDTH, :3]
    return ((x * 5 + y * 7 + channel * 60 + (x // 6 + y // 6) % 2 * 90) % 256).astype(numpy.uint8)


def frame(rng):
    both = rng.integer(1, 2) == 2
    hue_alone = rng.integer(0, 1) == 1
    result = image()
    if both or not hue_alone:
        result = iaa.Add(rng.uniform(-40, 40))(image=result)
    if both or hue_alone:
        result = iaa.AddToHueAndSaturation(iap.Deterministic(rng.integer(-5, 5)))(image=result)
    perspective = iaa.PerspectiveTransform(0.08)
    perspective.jitter = Corners([[abs(rng.normal()) * 0.08 for _ in range(2)] for _ in range(4)])
    rotation = iap.Deterministic(rng.uniform(-20, 20))
    shift = iap.Deterministic(rng.uniform(-0.1, 0.1))
    steps = [perspective, iaa.Affine(scale=1.0, translate_percent=shift, rotate=rotation, order=1)]
    if rng.uniform() < BLUR_PROBABILITY:
        size = BLUR_SIZES[rng.integer(0, 1)]
        angle = iap.Deterministic(rng.uniform(0, 360))
        steps.append(iaa.MotionBlur(size, angle=angle, direction=iap.Deterministic(2 * rng.uniform() - 1)))
    return iaa.Sequential(steps)(image=result)


def main():
    rng = Random(SEED)
    for _ in range(1, FRAMES):
        print(frame(rng).tobytes().hex())


if __name__ == "__main__":
    main()
