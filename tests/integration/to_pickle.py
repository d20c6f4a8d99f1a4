"""to_pickle.py IN.safetensors OUT.pkl: the float32 tensors as detectron2's model zoo pickles them."""
import json
import pickle
import struct
import sys

import numpy as np

source, target = sys.argv[1:]
data = open(source, "rb").read()
(length,) = struct.unpack("<Q", data[:8])
tensors = {}
for name, entry in json.loads(data[8:8 + length]).items():
    if name != "__metadata__":
        assert entry["dtype"] == "F32", (name, entry["dtype"])
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors["model." + name] = np.frombuffer(data[begin:end], np.float32).reshape(entry["shape"]).copy()
tensors["criterion.empty_weight"] = np.ones(3, np.float32)
with open(target, "wb") as file:
    pickle.dump({"model": tensors, "__author__": "a test", "matching_heuristics": True}, file, protocol=2)
