#!/usr/bin/env python3
"""tamper.py FILE TENSOR: changes one number of a safetensors file, or adds the tensor if it is not there."""
import json
import struct
import sys

path, name = sys.argv[1:]
data = bytearray(open(path, "rb").read())
(length,) = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + length])
body = data[8 + length:]
if name in header:
    entry = header[name]
    at = entry["data_offsets"][0]
    if entry["dtype"] == "F32":
        (value,) = struct.unpack_from("<f", body, at)
        struct.pack_into("<f", body, at, value * 1.05 + 0.01)
    elif entry["dtype"] == "I32":
        (value,) = struct.unpack_from("<i", body, at)
        struct.pack_into("<i", body, at, value + 1)
    else:
        sys.exit(f"{name}: expected F32 or I32, got {entry['dtype']}")
else:
    header[name] = {"dtype": "F32", "shape": [1], "data_offsets": [len(body), len(body) + 4]}
    body += struct.pack("<f", 1.0)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(path, "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text + body)
