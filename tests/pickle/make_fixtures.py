#!/usr/bin/env python3
"""Makes fixtures/: small weight files as PyTorch, NumPy and pickle write them, and what is in them.

Needs torch and numpy (made with 2.11.0 and 2.2.6); the tests need neither. Beside every
<name>.pth or .pkl stands <name>.safetensors: the same tensors under the same names, made dense.
"""
import argparse
import collections
import datetime
import json
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent / "fixtures"
CODES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}


def write_safetensors(file, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        tensor = torch.as_tensor(tensor).detach().contiguous()
        raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        header[name] = {"dtype": CODES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


def save(name, content, tensors, legacy=False):
    torch.save(content, HERE / f"{name}.pth", _use_new_zipfile_serialization=not legacy)
    write_safetensors(HERE / f"{name}.safetensors", tensors)


def dump(name, content, tensors, protocol):
    (HERE / f"{name}.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    write_safetensors(HERE / f"{name}.safetensors", tensors)


def values(*shape, dtype=torch.float32, start=0):
    count = int(np.prod(shape, dtype=np.int64))
    numbers = torch.arange(start, start + count) % 127
    return (numbers / 8 - 3 if dtype.is_floating_point else numbers).to(dtype).reshape(shape)


def small_state_dict():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    with torch.no_grad():
        for i, tensor in enumerate(model.state_dict().values()):
            tensor.copy_(values(*tensor.shape, dtype=tensor.dtype, start=10 * i))
    return model, model.state_dict()


def odd_tensors():
    """Every type, views, shared storages, shapes without elements or dimensions."""
    base = values(4, 6)
    tensors = collections.OrderedDict(
        (f"types.{str(dtype)[6:]}", values(2, 3, dtype=dtype)) for dtype in CODES if dtype != torch.bool)
    tensors["types.bool"] = torch.tensor([True, False, True])
    tensors["views.transposed"] = base.t()
    tensors["views.row"] = base[2]
    tensors["views.every_other"] = base[1:, ::2]
    tensors["views.repeated"] = values(3).expand(2, 3)
    tensors["shared.first"] = shared = values(5, start=50)
    tensors["shared.second"] = shared
    tensors["empty"] = torch.empty(0, 4)
    tensors["scalar"] = torch.tensor(2.5)
    tensors["parameter"] = torch.nn.Parameter(values(2, 2))
    return tensors


def checkpoint():
    """As DETR and its descendants write it."""
    model, state = small_state_dict()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model(values(4, 3)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [4, 10])
    with torch.no_grad():
        for i, tensor in enumerate(model.state_dict().values()):
            tensor.copy_(values(*tensor.shape, dtype=tensor.dtype, start=10 * i))
    args = argparse.Namespace(lr=1e-4, masks=True, output_dir=pathlib.PurePosixPath("out"),
                              lr_drop_epochs=[4, 10], device="cuda", resume=None)
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(),
            "lr_scheduler": schedule.state_dict(), "epoch": 11, "args": args,
            "best": np.float64(0.5), "large": 1 << 70}, state


def arrays():
    return {
        "backbone.stem.conv1.weight": values(2, 3, 2, 2).numpy(),
        "backbone.stem.conv1.norm.running_var": values(2, start=100).numpy(),
        "half": values(3, dtype=torch.float16).numpy(),
        "count": np.asarray(7),
        "columns_first": np.asfortranarray(values(2, 3).numpy()),
        "flags": np.array([True, False]),
        "double": values(2, dtype=torch.float64).numpy(),
        "bytes": np.arange(250, 256, dtype=np.uint8),
        "none": np.zeros((0, 2), np.float32),
    }


def beside_class(module, name, bases=(object,)):
    """A class of a library that need not be installed."""
    made = type(name, bases, {"__module__": module, "__qualname__": name})
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[:i + 1]), types.ModuleType(parts[i]))
    setattr(sys.modules[module], name, made)
    return made


def beside():
    """What configurations and trainers leave beside the weights."""
    config = beside_class("omegaconf.dictconfig", "DictConfig")()
    node = beside_class("omegaconf.nodes", "AnyNode")()
    node.__dict__.update(_parent=config, _val=0.1)
    config.__dict__.update(_metadata=None, _parent=None, _flags_cache=None, _content={"lr": node})
    easy = beside_class("easydict", "EasyDict", (dict,))(lr=0.1)
    easy.__dict__.update(easy)
    return {"cfg": config, "easy": easy,
            "mm": beside_class("mmengine.config.config", "ConfigDict", (dict,))(lr=0.1),
            "callback": beside_class("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")(),
            "date": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
            "last": collections.deque([1, 2], maxlen=2), "space": types.SimpleNamespace(lr=0.1)}


class Global:
    """Pickles as a call of any global."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Python2Pickler(pickle._Pickler):  # the one in Python: bytes as Python 2 wrote str
    dispatch = dict(pickle._Pickler.dispatch)

    def save_str(self, text):
        self.write(pickle.BINSTRING + struct.pack("<i", len(text)) + text.encode("latin1"))
        self.memoize(text)

    def save_bytes(self, data):
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(data)

    dispatch[str] = save_str
    dispatch[bytes] = save_bytes


class Python2TorchPickler(Python2Pickler):
    """As PyTorch up to 0.3 wrote state dicts under Python 2: pairs in a list, _rebuild_tensor."""

    def persistent_id(self, value):
        if not isinstance(value, np.ndarray):
            return None
        return "storage", torch.FloatStorage, str(id(value)), "cuda:0", value.size, None

    def reducer_override(self, value):
        if isinstance(value, torch.Tensor):
            data = self.storages.setdefault(value.data_ptr(), value.numpy().reshape(-1))
            return torch._utils._rebuild_tensor, (data, 0, tuple(value.shape), value.stride())
        if isinstance(value, collections.OrderedDict):
            return collections.OrderedDict, ([list(item) for item in value.items()],)
        return NotImplemented


def save_python2(name, state):
    with open(HERE / f"{name}.pth", "wb") as file:
        for head in (0x1950a86a20f9469cfc6c, 1001, {"protocol_version": 1001, "little_endian": True,
                                                    "type_sizes": {"int": 4, "short": 2, "long": 4}}):
            pickle.dump(head, file, 2)
        pickler = Python2TorchPickler(file, 2)
        pickler.storages = {}
        pickler.dump(state)
        pickle.dump([str(id(data)) for data in pickler.storages.values()], file, 2)
        for data in pickler.storages.values():
            file.write(struct.pack("<q", data.size) + data.tobytes())
    write_safetensors(HERE / f"{name}.safetensors", state)


def rewrite_zip(source, target, change):
    """Copies a zip file with the entries that `change` gives for each."""
    with zipfile.ZipFile(HERE / source) as old, zipfile.ZipFile(HERE / target, "w") as new:
        for item in old.infolist():
            for name, data, method in change(item.filename, old.read(item.filename)):
                new.writestr(zipfile.ZipInfo(name), data, method)


def hostile():
    """Files that must be refused; the name says why."""
    import os
    save_hostile = lambda name, content: torch.save(content, HERE / f"hostile_{name}.pth")
    save_hostile("global", {"model": values(2), "x": Global(os.system, "touch /tmp/tessera-was-here")})
    torch.save({"model": {"w": values(2)}, "x": Global(eval, "1")}, HERE / "hostile_global_legacy.pth",
               _use_new_zipfile_serialization=False)
    save_hostile("module", small_state_dict()[0])
    save_hostile("sparse", {"w": torch.eye(3).to_sparse()})
    (HERE / "hostile_global.pkl").write_bytes(pickle.dumps({"w": Global(os.system, "true")}, 2))
    cycle = {"w": np.ones(2, np.float32)}
    cycle["again"] = [cycle]
    (HERE / "hostile_stored.pkl").write_bytes(pickle.dumps(
        {"w": Global(torch._utils._rebuild_tensor_v2, Global(torch.storage._load_from_bytes, pickle.dumps(
            Global(os.system, "true"), 2)), 0, (2,), (1,), False, collections.OrderedDict())}, 4))
    (HERE / "hostile_cycle.pkl").write_bytes(pickle.dumps(cycle, 4))

    torch.save({"w": values(64)}, HERE / "plain.tmp")
    stored = zipfile.ZIP_STORED

    def each(change):
        return lambda name, data: [(name, change(name, data), stored)]

    # FloatStorage's 64 elements (K@) become 2^31 - 1 (J....), its shape with them.
    rewrite_zip("plain.tmp", "hostile_size.pth", each(
        lambda name, data: data.replace(b"K@", b"J\xff\xff\xff\x7f") if name.endswith("data.pkl") else data))
    rewrite_zip("plain.tmp", "hostile_checksum.tmp", each(lambda name, data: data))
    whole = (HERE / "hostile_checksum.tmp").read_bytes()
    at = whole.index(struct.pack("<2f", -3 + 1 / 8, -3 + 2 / 8))
    (HERE / "hostile_checksum.pth").write_bytes(whole[:at] + b"\x7f" + whole[at + 1:])
    rewrite_zip("plain.tmp", "hostile_compressed.pth",
                lambda name, data: [(name, data, zipfile.ZIP_DEFLATED)])
    rewrite_zip("plain.tmp", "hostile_big_endian.pth", each(
        lambda name, data: b"big" if name.endswith("byteorder") else data))
    rewrite_zip("plain.tmp", "hostile_missing_storage.pth",
                lambda name, data: [] if name.endswith("data/0") else [(name, data, stored)])
    torch.save({"w": torch.zeros(1).expand(1 << 40)}, HERE / "hostile_repeated.pth")
    for leftover in HERE.glob("*.tmp"):
        leftover.unlink()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), HERE / "hostile_torchscript.pth")


def main():
    HERE.mkdir(exist_ok=True)
    for old in HERE.iterdir():
        old.unlink()
    _, state = small_state_dict()
    save("state_dict", state, state)
    save("state_dict_legacy", state, state, legacy=True)
    save("odd", {"state_dict": odd_tensors()}, odd_tensors())
    save("odd_legacy", {"state_dict": odd_tensors()}, odd_tensors(), legacy=True)
    plain = collections.OrderedDict((name, values(*shape)) for name, shape in
                                    (("conv1.weight", (2, 3, 2, 2)), ("bn1.weight", (2,)), ("fc.bias", (5,))))
    save_python2("state_dict_python2", plain)
    content, state = checkpoint()
    save("checkpoint", content, state)
    save("checkpoint_legacy", content, state, legacy=True)
    save("two_tables", {"model": {"w": values(2)}, "model_ema": {"w": values(2, start=40)}, "step": 3},
         {"model.w": values(2), "model_ema.w": values(2, start=40)})
    for protocol in range(2, 6):
        dump(f"arrays_{protocol}", {"model": arrays(), "__author__": "Torchvision", "matching_heuristics": True},
             arrays(), protocol)
    dump("arrays_0", arrays(), arrays(), 0)
    pair = {"weight": values(2, 3), "bias": values(2, start=20)}
    save("beside", {"model": dict(pair), **beside()}, pair)
    nested = {"state": {"model": dict(pair), "ema": dict(pair),
                        "optimizer": {"state": {0: {"exp_avg": values(2)}}}}, **beside()}
    torch.save(nested, HERE / "nested.pth")
    torch.save({"model": {"weight": values(2), "complex": torch.ones(2, dtype=torch.complex64),
                          "sparse": torch.eye(3).to_sparse(), "float8": torch.ones(2).to(torch.float8_e4m3fn),
                          "array": np.ones(2, np.complex64)}}, HERE / "unsupported.pth")
    stored = {**pair, "row": pair["weight"][1]}
    for protocol in (2, 4):
        dump(f"stored_{protocol}", {"model": stored, "__author__": "third_party"}, stored, protocol)
    with open(HERE / "arrays_python2.pkl", "wb") as file:
        Python2Pickler(file, 2).dump({"blobs": {"conv1_w": values(2, 3).numpy()}, "name": "caf\xe9"})
    write_safetensors(HERE / "arrays_python2.safetensors", {"conv1_w": values(2, 3)})
    hostile()
    print(f"{len(list(HERE.iterdir()))} files, {sum(f.stat().st_size for f in HERE.iterdir())} bytes")


if __name__ == "__main__":
    sys.exit(main())
