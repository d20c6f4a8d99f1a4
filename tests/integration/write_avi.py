"""Joins JPEG frames into an AVI file (Motion JPEG): write_avi.py OUTPUT WIDTH HEIGHT FRAME..."""
import struct
import sys


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def listing(kind, data):
    return chunk(b"LIST", kind + data)


output, width, height, *frames = sys.argv[1:]
width, height = int(width), int(height)
images = [open(frame, "rb").read() for frame in frames]
main = struct.pack("<14I", 100000, 0, 0, 0x10, len(images), 0, 1, 1 << 20, width, height, 0, 0, 0, 0)
stream = b"vidsMJPG" + struct.pack("<IHHIIIIIIII4H", 0, 0, 0, 0, 1, 10, 0, len(images), 1 << 20, 0xFFFFFFFF, 0,
                                   0, 0, width, height)
picture = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
header = listing(b"hdrl", chunk(b"avih", main) + listing(b"strl", chunk(b"strh", stream) + chunk(b"strf", picture)))
movie, index, offset = b"", b"", 4
for image in images:
    piece = chunk(b"00dc", image)
    index += b"00dc" + struct.pack("<III", 0x10, offset, len(image))
    movie += piece
    offset += len(piece)
body = b"AVI " + header + listing(b"movi", movie) + chunk(b"idx1", index)
open(output, "wb").write(b"RIFF" + struct.pack("<I", len(body)) + body)
