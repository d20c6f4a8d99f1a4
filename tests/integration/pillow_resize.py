#!/usr/bin/env python3
"""Compares data.resize = "antialiased" with Pillow, and sizes with the rules of the authors' codes.

    pillow_resize.py PROGRAM         PROGRAM: the test program resized_images

Needs Pillow (`pip install pillow==11.3.0`); without it the test is skipped. Levels may differ by one; JPEG
files are decoded at full size by both sides first.
"""
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    import PIL
    from PIL import Image, ImageChops, ImageFilter
except ImportError as error:
    print(f"skipped: {error}; pip install pillow==11.3.0", file=sys.stderr)
    sys.exit(77)


def size_of_detectron2(width, height, short_side, max_side):
    scale = short_side / min(height, width)
    new_height, new_width = (short_side, scale * width) if height < width else (scale * height, short_side)
    if max_side and max(new_height, new_width) > max_side:
        scale = max_side / max(new_height, new_width)
        new_height, new_width = new_height * scale, new_width * scale
    return max(1, int(new_width + 0.5)), max(1, int(new_height + 0.5))


def size_of_detr(width, height, short_side, max_side):
    shorter, longer = min(width, height), max(width, height)
    if max_side and longer / shorter * short_side > max_side:
        short_side = max(1, round(max_side * shorter / longer))
    other = int(short_side * longer / shorter)
    return (short_side, other) if width < height else (other, short_side)


RULES = {"nearest": size_of_detectron2, "down": size_of_detr}


def picture(rng, width, height, kind):
    image = Image.frombytes("RGB", (width, height), rng.randbytes(width * height * 3))
    if kind == "black and white":
        image = image.convert("L").point(lambda level: 255 if level > 127 else 0).convert("RGB")
    return image.filter(ImageFilter.GaussianBlur(3)) if kind == "smooth" else image


def cases(rng):
    for width, height in ((1280, 720), (1920, 1080), (720, 1280), (854, 480), (641, 427)):
        for short_side, max_side in ((360, 640), (480, 1333), (300, 540), (288, 768)):
            yield width, height, short_side, max_side
    for _ in range(60):
        yield tuple(round(2 ** rng.uniform(0, 9)) for _ in range(4))


def main():
    program = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    rng = random.Random(1)
    levels = different = images = 0
    with tempfile.TemporaryDirectory() as folder:
        stored, output = pathlib.Path(folder, "image"), pathlib.Path(folder, "output.ppm")
        for index, (width, height, short_side, max_side) in enumerate(cases(rng)):
            image = picture(rng, width, height, ("noise", "smooth", "black and white")[index % 3])
            file = stored.with_suffix((".png", ".jpg")[index // 3 % 2])
            image.save(file, quality=90, compress_level=1) if file.suffix == ".jpg" else image.save(file, compress_level=1)
            for rounding, rule in RULES.items():
                expected_size = rule(width, height, short_side, max_side)
                if max(expected_size) > 4000:
                    continue
                expected = Image.open(file).convert("RGB").resize(expected_size, Image.BILINEAR)
                print("antialiased", rounding, short_side, max_side, file, output, file=program.stdin, flush=True)
                size = tuple(int(number) for number in program.stdout.readline().split()[:2])
                case = f"{width}x{height} to {short_side}, at most {max_side}, {rounding}, {file.suffix}"
                assert size == expected_size, f"{case}: expected {expected_size}, got {size}"
                difference = ImageChops.difference(Image.open(output).convert("RGB"), expected)
                largest = max(high for _, high in difference.getextrema())
                assert largest <= 1, f"{case}: levels differ by {largest}"
                counts = difference.histogram()
                different += sum(counts[1::256])
                levels += sum(counts)
                images += 1
    program.stdin.close()
    assert program.wait() == 0
    share = different / levels
    assert share < 0.02, f"{share:.2%} of the levels differ"
    print(f"{images} images as by Pillow {PIL.__version__}: no level differs by more than 1, {share:.3%} differ by 1")


if __name__ == "__main__":
    main()
