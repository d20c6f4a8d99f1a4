"""Writes stand-ins of official weight files: every tensor name and shape of the file, other numbers.

    official_weights.py FILE...            writes each into the working directory, by its name
    official_weights.py --drawn FILE...    the same, with random numbers instead of zeros
    official_weights.py --list             the names that there are

Names and shapes are those of the authors' code (torchvision, detectron2, Swin-Transformer, VisTR,
SeqFormer, MS-STS VIS, IFC, Mask2Former, MinVIS), with what such a file holds beside the model: buffers,
loss weights, the optimiser's state. Needs neither PyTorch nor NumPy: their pickles are written as
calls of their functions. All tensors of a file share few bytes, so that a file takes a seventh of the
space of its tensors. With --drawn every tensor has its own bytes: random numbers of the size that a
model starts its training with, so that masks and queries differ from each other.
"""
import argparse
import array
import math
import pickle
import random
import re
import sys
import types
import zipfile

# ---- names and shapes ---------------------------------------------------------------------------


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def linear(name, width, inputs, bias=True):
    return {f"{name}.weight": (width, inputs)} | ({f"{name}.bias": (width,)} if bias else {})


def conv(name, width, inputs, *kernel, bias=True):
    return {f"{name}.weight": (width, inputs, *kernel)} | ({f"{name}.bias": (width,)} if bias else {})


def mlp(name, widths):
    layers = {}
    for i, (inputs, width) in enumerate(zip(widths, widths[1:])):
        layers |= linear(f"{name}.layers.{i}", width, inputs)
    return layers


def attention(name, dim):
    """torch.nn.MultiheadAttention."""
    return {f"{name}.in_proj_weight": (3 * dim, dim), f"{name}.in_proj_bias": (3 * dim,)} | linear(
        f"{name}.out_proj", dim, dim)


def deformable(name, dim, levels, boxes=False):
    """Deformable DETR's attention, 8 heads of 4 points."""
    points = 8 * levels * 4
    result = linear(f"{name}.sampling_offsets", 2 * points, dim)
    result |= linear(f"{name}.attention_weights", points, dim)
    for part in ("value_proj", "output_proj") + (("output_proj_box",) if boxes else ()):
        result |= linear(f"{name}.{part}", dim, dim)
    return result


def with_prefix(prefix, tensors):
    return {prefix + name: shape for name, shape in tensors.items()}


BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def frozen_norm(name, width, counted=False):
    result = norm(name, width) | {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
    return result | ({f"{name}.num_batches_tracked": ()} if counted else {})


def torchvision_resnet(depth, counted=False, classifier=False):
    tensors = conv("conv1", 64, 3, 7, 7, bias=False) | frozen_norm("bn1", 64, counted)
    inputs = 64
    for stage, blocks in enumerate(BLOCKS[depth]):
        width = 64 << stage
        for block in range(blocks):
            at = f"layer{stage + 1}.{block}"
            for i, (to, of, size) in enumerate(((width, inputs, 1), (width, width, 3), (4 * width, width, 1))):
                tensors |= conv(f"{at}.conv{i + 1}", to, of, size, size, bias=False)
                tensors |= frozen_norm(f"{at}.bn{i + 1}", to, counted)
            if block == 0:
                tensors |= conv(f"{at}.downsample.0", 4 * width, inputs, 1, 1, bias=False)
                tensors |= frozen_norm(f"{at}.downsample.1", 4 * width, counted)
            inputs = 4 * width
    return tensors | (linear("fc", 1000, 2048) if classifier else {})


def detectron2_resnet(depth, classifier=False):
    tensors = {}
    for name, shape in torchvision_resnet(depth, classifier=classifier).items():
        if not name.startswith("layer"):
            name = "stem." + name
        for i in range(1, 5):
            name = name.replace(f"layer{i}", f"res{i + 1}").replace(f"bn{i}", f"conv{i}.norm")
        tensors[name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")] = shape
    return tensors


SWIN = {  # width, blocks, heads
    "tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "small": (96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "base": (128, (2, 2, 18, 2), (4, 8, 16, 32)),
    "large": (192, (2, 2, 18, 2), (6, 12, 24, 48)),
}


def swin(variant, window, classes=0, size=0, level_norms=False):
    """With `classes`, Swin-Transformer's own file for images of `size` pixels: classifier and masks."""
    width, depths, heads = SWIN[variant]
    tensors = conv("patch_embed.proj", width, 3, 4, 4) | norm("patch_embed.norm", width)
    for stage, depth in enumerate(depths):
        dim, cells = width << stage, size // (4 << stage)
        for block in range(depth):
            at = f"layers.{stage}.blocks.{block}"
            if classes and block % 2 == 1 and cells > window:
                tensors[f"{at}.attn_mask"] = ((cells // window) ** 2, window**2, window**2)
            tensors |= norm(f"{at}.norm1", dim)
            tensors[f"{at}.attn.relative_position_bias_table"] = ((2 * window - 1) ** 2, heads[stage])
            tensors[f"{at}.attn.relative_position_index"] = (window**2, window**2)
            tensors |= linear(f"{at}.attn.qkv", 3 * dim, dim) | linear(f"{at}.attn.proj", dim, dim)
            tensors |= norm(f"{at}.norm2", dim)
            tensors |= linear(f"{at}.mlp.fc1", 4 * dim, dim) | linear(f"{at}.mlp.fc2", dim, 4 * dim)
        if stage < 3:
            tensors |= linear(f"layers.{stage}.downsample.reduction", 2 * dim, 4 * dim, bias=False)
            tensors |= norm(f"layers.{stage}.downsample.norm", 4 * dim)
        if level_norms:
            tensors |= norm(f"norm{stage}", dim)
    if classes:
        tensors |= norm("norm", 8 * width) | linear("head", classes, 8 * width)
    return tensors


def backbone(kind):
    """Tensors with detectron2's names, and the channels of the four levels."""
    if kind in ("r50", "r101"):
        return detectron2_resnet(int(kind[1:])), (256, 512, 1024, 2048)
    variant, window = {"swin_t": ("tiny", 7), "swin_s": ("small", 7), "swin_b": ("base", 12),
                       "swin_l": ("large", 12)}[kind]
    return swin(variant, window, level_norms=True), tuple(SWIN[variant][0] << i for i in range(4))


def mask2former(kind, classes, queries, first_generation=False):
    body, channels = backbone(kind)
    tensors = with_prefix("backbone.", body)
    pixel = {}
    for i, inputs in enumerate(channels[:0:-1]):
        pixel |= conv(f"input_proj.{i}.0", 256, inputs, 1, 1) | norm(f"input_proj.{i}.1", 256)
    pixel["transformer.level_embed"] = (3, 256)
    for i in range(6):
        at = f"transformer.encoder.layers.{i}"
        pixel |= deformable(f"{at}.self_attn", 256, 3) | norm(f"{at}.norm1", 256)
        pixel |= linear(f"{at}.linear1", 1024, 256) | linear(f"{at}.linear2", 256, 1024)
        pixel |= norm(f"{at}.norm2", 256)
    pixel |= conv("mask_features", 256, 256, 1, 1)
    pixel |= conv("adapter_1", 256, channels[0], 1, 1, bias=False) | norm("adapter_1.norm", 256)
    pixel |= conv("layer_1", 256, 256, 3, 3, bias=False) | norm("layer_1.norm", 256)
    tensors |= with_prefix("sem_seg_head." + ("" if first_generation else "pixel_decoder."), pixel)
    predictor = {}
    for i in range(9):
        at = f"transformer_self_attention_layers.{i}"
        predictor |= attention(f"{at}.self_attn", 256) | norm(f"{at}.norm", 256)
        at = f"transformer_cross_attention_layers.{i}"
        predictor |= attention(f"{at}.multihead_attn", 256) | norm(f"{at}.norm", 256)
        at = f"transformer_ffn_layers.{i}"
        predictor |= linear(f"{at}.linear1", 2048, 256) | linear(f"{at}.linear2", 256, 2048)
        predictor |= norm(f"{at}.norm", 256)
    predictor |= norm("decoder_norm", 256)
    predictor["static_query.weight" if first_generation else "query_feat.weight"] = (queries, 256)
    predictor |= {"query_embed.weight": (queries, 256), "level_embed.weight": (3, 256)}
    predictor |= linear("class_embed", classes + 1, 256) | mlp("mask_embed", (256, 256, 256, 256))
    tensors |= with_prefix("sem_seg_head.predictor.", predictor)
    return tensors | {"criterion.empty_weight": (classes + 1,)}


def seqformer(kind, classes, layers=6, mssts=False):
    tensors = {}
    if kind.startswith("swin"):
        body, channels = backbone(kind)
    else:
        body, channels = torchvision_resnet(int(kind[1:])), (256, 512, 1024, 2048)
    tensors = with_prefix("detr.backbone.0.body.", body)
    tensors["detr.transformer.level_embed"] = (4, 256)
    for i in range(layers):
        at = f"detr.transformer.encoder.layers.{i}"
        tensors |= deformable(f"{at}.self_attn", 256, 4, boxes=True) | norm(f"{at}.norm1", 256)
        tensors |= linear(f"{at}.linear1", 1024, 256) | linear(f"{at}.linear2", 256, 1024)
        tensors |= norm(f"{at}.norm2", 256)
        at = f"detr.transformer.decoder.layers.{i}"
        tensors |= deformable(f"{at}.cross_attn", 256, 4, boxes=True)
        for part in ("", "_box"):
            tensors |= attention(f"{at}.self_attn{part}", 256)
            for j in (1, 2, 3):
                tensors |= norm(f"{at}.norm{j}{part}", 256)
            tensors |= linear(f"{at}.linear1{part}", 1024, 256) | linear(f"{at}.linear2{part}", 256, 1024)
        tensors |= linear(f"{at}.time_attention_weights", 1, 256)
        if mssts:
            tensors |= linear(f"{at}.temp_attn_box.qkv", 900, 300, bias=False)
            tensors |= linear(f"{at}.temp_attn_box.proj", 300, 300)
        for place in ("detr.transformer.decoder.bbox_embed", "detr.bbox_embed"):  # one module, twice
            tensors |= mlp(f"{place}.{i}", (256, 256, 256, 4))
        tensors |= linear(f"detr.class_embed.{i}", classes, 256)
    tensors |= linear("detr.transformer.reference_points", 2, 256)
    tensors["detr.query_embed.weight"] = (300, 512)
    for i, inputs in enumerate(channels[1:]):
        tensors |= conv(f"detr.input_proj.{i}.0", 256, inputs, 1, 1) | norm(f"detr.input_proj.{i}.1", 256)
    tensors |= conv("detr.input_proj.3.0", 256, channels[3], 3, 3) | norm("detr.input_proj.3.1", 256)
    tensors |= mlp("controller", (256, 256, 256, 169))
    for name, to, of in (("lay1", 64, 256), ("lay2", 8, 64), ("lay3", 256, 256), ("lay4", 256, 256),
                         ("dcn", 256, 256)):
        tensors |= conv(f"mask_head.{name}", to, of, 3, 3)
    return tensors


def ifc(depth, classes):
    tensors = with_prefix("detr.backbone.0.backbone.", detectron2_resnet(depth))
    tensors |= {"detr.transformer.memory_bus": (8, 256), "detr.transformer.memory_pos": (8, 256)}
    for i in range(3):
        for part in ("encoder.enc_layers", "encoder.bus_layers", "clip_decoder.layers"):
            at = f"detr.transformer.{part}.{i}"
            tensors |= attention(f"{at}.self_attn", 256) | norm(f"{at}.norm1", 256)
            tensors |= linear(f"{at}.linear1", 2048, 256) | linear(f"{at}.linear2", 256, 2048)
            tensors |= norm(f"{at}.norm2", 256)
        tensors |= attention(f"{at}.multihead_attn", 256) | norm(f"{at}.norm3", 256)
    tensors |= norm("detr.transformer.clip_decoder.norm", 256)
    tensors |= mlp("detr.class_embed", (256, 256, classes + 1))
    tensors["detr.query_embed.weight"] = (100, 256)
    tensors |= conv("detr.input_proj", 256, 2048, 1, 1)
    head = {}
    for i in (1, 2, 3):
        head |= conv(f"lay{i}", 256, 256, 3, 3) | norm(f"gn{i}", 256)
    head |= conv("out_lay.depthwise", 256, 1, 5, 5) | conv("out_lay.pointwise", 256, 256, 1, 1)
    head |= conv("adapter1", 256, 1024, 1, 1) | conv("adapter2", 256, 512, 1, 1)
    head |= mlp("convert_to_weight", (256, 256, 256, 256))
    tensors |= with_prefix("detr.mask_head.", head)
    return tensors | {"criterion.empty_weight": (classes + 1,)}


def detr(depth, dim, classes, queries):
    tensors = with_prefix("backbone.0.body.", torchvision_resnet(depth))
    for i in range(6):
        for part in ("encoder", "decoder"):
            at = f"transformer.{part}.layers.{i}"
            tensors |= attention(f"{at}.self_attn", dim)
            tensors |= linear(f"{at}.linear1", 2048, dim) | linear(f"{at}.linear2", dim, 2048)
            tensors |= norm(f"{at}.norm1", dim) | norm(f"{at}.norm2", dim)
        tensors |= attention(f"{at}.multihead_attn", dim) | norm(f"{at}.norm3", dim)
    tensors |= norm("transformer.decoder.norm", dim)
    tensors |= linear("class_embed", classes, dim) | mlp("bbox_embed", (dim, dim, dim, 4))
    tensors["query_embed.weight"] = (queries, dim)
    return tensors | conv("input_proj", dim, 2048, 1, 1)


def vistr(depth):
    tensors = with_prefix("vistr.", detr(depth, 384, 42, 360))
    tensors |= linear("bbox_attention.q_linear", 384, 384) | linear("bbox_attention.k_linear", 384, 384)
    head, widths = {}, (392, 392, 192, 96, 48, 24)
    for i in range(4):
        head |= conv(f"lay{i + 1}", widths[i + 1], widths[i], 3, 3)
    for i in range(5):
        head |= norm(f"gn{i + 1}", widths[i + 1])
    head |= conv("conv_offset", 18, 48, 1, 1) | conv("dcn", 24, 48, 3, 3, bias=False)
    for i, inputs in enumerate((1024, 512, 256)):
        head |= conv(f"adapter{i + 1}", widths[i + 2], inputs, 1, 1)
    tensors |= with_prefix("mask_head.", head)
    for i, inputs in enumerate((24, 12, 12)):
        tensors |= conv(f"insmask_head.{3 * i}", 12, inputs, 3, 3, 3) | norm(f"insmask_head.{3 * i + 1}", 12)
    return tensors | conv("insmask_head.9", 1, 12, 1, 1, 1)


# ---- pickles ------------------------------------------------------------------------------------


class Tensor:
    def __init__(self, shape, dtype, name=""):
        self.shape, self.dtype = tuple(shape), dtype
        self.name = name.replace("transformer.decoder.bbox_embed.", "bbox_embed.")  # one module, twice
        self.count = 1
        for size in shape:
            self.count *= size


WIDTH = {"float32": 4, "int64": 8}


def dtype_of(name):
    return "int64" if name.endswith(("relative_position_index", "num_batches_tracked")) else "float32"


def tensors_of(shapes):
    return {name: Tensor(shape, dtype_of(name), name) for name, shape in shapes.items()}


def scale(tensor):
    """Mean and standard deviation of a tensor's random numbers."""
    name, shape = tensor.name, tensor.shape
    if tensor.dtype != "float32" or name.endswith(("running_mean", "attn_mask")):
        return 0, 0
    if name.endswith("running_var"):
        return 1, 0
    if len(shape) == 1:
        if name.endswith("sampling_offsets.bias"):
            return 0, 1.5
        if name.endswith("bias"):
            return 0, 0.02
        last_of_block = re.search(r"layer\d\.\d+\.bn3|res\d\.\d+\.conv3\.norm", name)
        return (0.2 if last_of_block else 1), 0
    if "class_embed" not in name and re.search(r"(embed|query|query_feat|memory_\w+)(\.weight)?$", name):
        return 0, 1
    if "sampling_offsets" in name or "bias_table" in name:
        return 0, 0.02
    deviation = math.sqrt((2 if len(shape) > 2 else 1) / math.prod(shape[1:]))
    # Small steps, so that queries stay different from each other through all layers.
    end_of_step = re.search(r"(out_proj|output_proj|linear2)(_box)?\.weight$", name)
    return 0, deviation / (4 if end_of_step else 1)


# Drawn stand-ins of models of YouTube-VIS 2019 find these categories and no others.
LIKELY_CATEGORIES = (1, 6)


def class_biases(tensor):
    """VisTR's and SeqFormer's 42 classes are category ids; the others' 40 begin with category 1."""
    biases = array.array("f", [-8.0] * tensor.count)
    for category in LIKELY_CATEGORIES:
        biases[category if tensor.count == 42 else category - 1] = 1.0
    return biases.tobytes()


PERIOD = 65537  # a prime, so that no row of a matrix repeats another
DRAWN = {}


def numbers(tensor):
    """Random numbers for a tensor, the same ones for the same name."""
    if re.search(r"class_embed\b.*\.bias$", tensor.name) and tensor.count in (41, 42):
        return class_biases(tensor)
    mean, deviation = scale(tensor)
    size = WIDTH[tensor.dtype] * tensor.count
    if (mean, deviation) == (0, 0):
        return bytes(size)
    if (mean, deviation) not in DRAWN:
        draw = random.Random(1)
        DRAWN[mean, deviation] = array.array("f", [draw.gauss(mean, deviation) for _ in range(PERIOD)]).tobytes()
    block = DRAWN[mean, deviation]
    begin = 4 * random.Random(tensor.name).randrange(PERIOD)
    return (block[begin:] + block * (size // len(block) + 1))[:size]


def stand_in(module, name, **attributes):
    """A global that pickles under the name of PyTorch's or NumPy's."""
    made = type(name, (), {"__module__": module, "__qualname__": name, **attributes})
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[: i + 1]), types.ModuleType(".".join(parts[: i + 1])))
    setattr(sys.modules[module], name, made)
    return made


REBUILD_TENSOR = stand_in("torch._utils", "_rebuild_tensor_v2")
STORAGE = {"float32": stand_in("torch", "FloatStorage"), "int64": stand_in("torch", "LongStorage")}
LOAD_FROM_BYTES = stand_in("torch.storage", "_load_from_bytes")
ORDERED_DICT = __import__("collections").OrderedDict
RECONSTRUCT = stand_in("numpy.core.multiarray", "_reconstruct")
NDARRAY = stand_in("numpy", "ndarray")
DTYPE = stand_in("numpy", "dtype")


class Call:
    def __init__(self, function, arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)


class Storage:
    def __init__(self, dtype, count, key=None):
        self.dtype, self.count, self.key = dtype, count, key or dtype


class Pickler(pickle._Pickler):  # the one in Python, which has reducer_override
    """Writes tensors as calls that PyTorch or NumPy would make."""

    def reducer_override(self, value):
        if isinstance(value, Call):
            return value.parts
        if isinstance(value, Tensor):
            return self.tensor(value).parts
        return NotImplemented

    def save_global(self, value, name=None):
        self.write(pickle.GLOBAL + f"{value.__module__}\n{value.__qualname__}\n".encode())
        self.memoize(value)

    dispatch = dict(pickle._Pickler.dispatch)
    dispatch[type] = save_global


def row_strides(shape):
    strides, stride = [], 1
    for size in reversed(shape):
        strides.insert(0, stride)
        stride *= size
    return tuple(strides)


class TorchPickler(Pickler):
    def __init__(self, file, storage_of):
        super().__init__(file, 2)
        self.storage_of = storage_of

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        return "storage", STORAGE[value.dtype], value.key, "cpu", value.count

    def tensor(self, value):
        return Call(REBUILD_TENSOR, (self.storage_of(value), 0, value.shape, row_strides(value.shape),
                                     False, ORDERED_DICT()))


def all_tensors(content):
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from all_tensors(value)


def seventh(content):
    return sum(WIDTH[t.dtype] * t.count for t in all_tensors(content)) // 7


def write_drawn_pth(path, content):
    storages, tensors = {}, {}

    def storage_of(tensor):
        key = tensor.name or f"other.{len(storages)}"
        tensors.setdefault(key, tensor)
        return storages.setdefault(key, Storage(tensor.dtype, tensor.count, key))

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("archive/data.pkl", "w") as file:
            TorchPickler(file, storage_of).dump(content)
        for key, tensor in tensors.items():
            archive.writestr(f"archive/data/{key}", numbers(tensor))
        archive.writestr("archive/version", "3\n")


def write_pth(path, content):
    """As torch.save writes it since 1.6."""
    largest = {d: max([t.count for t in all_tensors(content) if t.dtype == d], default=1) for d in WIDTH}
    storages = {dtype: Storage(dtype, count) for dtype, count in largest.items()}
    storages["float32"].count = max(storages["float32"].count, seventh(content) // 4)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("archive/data.pkl", "w") as file:
            TorchPickler(file, lambda tensor: storages[tensor.dtype]).dump(content)
        for dtype, storage in storages.items():
            with archive.open(f"archive/data/{dtype}", "w") as file:
                for _ in range(storage.count // 1024):
                    file.write(bytes(1024 * WIDTH[dtype]))
                file.write(bytes(storage.count % 1024 * WIDTH[dtype]))
        archive.writestr("archive/version", "3\n")


class NumpyPickler(Pickler):
    def __init__(self, file, drawn):
        super().__init__(file, 4)
        self.data, self.drawn = {}, drawn

    def tensor(self, value):
        size = WIDTH[value.dtype] * value.count
        code = {"float32": "f4", "int64": "i8"}[value.dtype]
        data = numbers(value) if self.drawn else self.data.setdefault(size, bytes(size))
        dtype = Call(DTYPE, (code, False, True), (3, "<", None, None, None, -1, -1, 0))
        state = (1, value.shape, dtype, False, data)
        return Call(RECONSTRUCT, (NDARRAY, (0,), b"b"), state)


def write_numpy_pkl(path, content, drawn):
    """As detectron2's model zoos have it."""
    padding = {} if drawn else {"padding": bytes(seventh(content))}
    with open(path, "wb") as file:
        NumpyPickler(file, drawn).dump({**content, **padding})


class StoredPickler(Pickler):
    """Tensors that pickle.dump wrote: each storage is a file of torch.save of its own."""

    def __init__(self, file):
        super().__init__(file, 4)
        self.data = {}

    def tensor(self, value):
        key = (value.dtype, value.count)
        if key not in self.data:
            self.data[key] = legacy_storage(value.dtype, value.count)
        storage = Call(LOAD_FROM_BYTES, (self.data[key],))
        return Call(REBUILD_TENSOR, (storage, 0, value.shape, row_strides(value.shape), False, ORDERED_DICT()))


def legacy_storage(dtype, count):
    file = __import__("io").BytesIO()
    for head in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True,
                                                "type_sizes": {"short": 2, "int": 4, "long": 4}}):
        pickle.dump(head, file, 2)
    TorchPickler(file, None).dump(Storage(dtype, count))
    pickle.dump([dtype], file, 2)
    return file.getvalue() + count.to_bytes(8, "little") + bytes(count * WIDTH[dtype])


def write_stored_pkl(path, content):
    with open(path, "wb") as file:
        StoredPickler(file).dump({**content, "padding": bytes(seventh(content))})


# ---- files --------------------------------------------------------------------------------------


def zoo(tensors):
    return {"model": tensors_of(tensors), "__author__": "a stand-in"}


def trained(tensors):
    """What training writes beside the model."""
    state = {i: {"step": 6000, "exp_avg": Tensor((4,), "float32"), "exp_avg_sq": Tensor((4,), "float32")}
             for i in range(3)}
    return {"model": tensors_of(tensors), "optimizer": {"state": state, "param_groups": [{"lr": 1e-4}]},
            "lr_scheduler": {"last_epoch": 12}, "iteration": 5999, "epoch": 11}


def imagenet_swin(variant, window, classes, size):
    return {"model": tensors_of(swin(variant, window, classes, size))}


FILES = {
    "resnet50-0676ba61.pth": lambda: tensors_of(torchvision_resnet(50, counted=True, classifier=True)),
    "R-50.pkl": lambda: zoo(detectron2_resnet(50, classifier=True)) | {"matching_heuristics": True},
    "R-101.pkl": lambda: zoo(detectron2_resnet(101, classifier=True)) | {"matching_heuristics": True},
    "swin_tiny_patch4_window7_224.pth": lambda: imagenet_swin("tiny", 7, 1000, 224),
    "swin_large_patch4_window12_384_22k.pth": lambda: imagenet_swin("large", 12, 21841, 384),
    "swin_tiny_patch4_window7_224.pkl": lambda: imagenet_swin("tiny", 7, 1000, 224)
    | {"__author__": "third_party", "matching_heuristics": True},
    "r50_pretrained.pth": lambda: trained(with_prefix("vistr.", detr(50, 384, 92, 100))),
    "r101_pretrained.pth": lambda: trained(with_prefix("vistr.", detr(101, 384, 92, 100))),
    "vistr_r50.pth": lambda: trained(vistr(50)),
    "vistr_r101.pth": lambda: trained(vistr(101)),
    "r50_weight.pth": lambda: trained(seqformer("r50", 91)),
    "r101_weight.pth": lambda: trained(seqformer("r101", 91)),
    "swinL_weight.pth": lambda: trained(seqformer("swin_l", 91)),
    "seqformer_r50.pth": lambda: trained(seqformer("r50", 42)),
    "mssts_r50.pth": lambda: trained(seqformer("r50", 42, layers=3, mssts=True)),
    "ifc_coco_r50.pth": lambda: trained(ifc(50, 80)),
    "ifc_coco_r101.pth": lambda: trained(ifc(101, 80)),
    "ifc_r50.pth": lambda: trained(ifc(50, 40)),
    # Mask2Former on COCO images; the ResNets' files are of the first generation of names.
    "model_final_3c8ec9.pkl": lambda: zoo(mask2former("r50", 80, 100, first_generation=True)),
    "model_final_eba159.pkl": lambda: zoo(mask2former("r101", 80, 100, first_generation=True)),
    "model_final_86143f.pkl": lambda: zoo(mask2former("swin_t", 80, 100)),
    "model_final_1e7f22.pkl": lambda: zoo(mask2former("swin_s", 80, 100)),
    "model_final_83d103.pkl": lambda: zoo(mask2former("swin_b", 80, 100)),
    "model_final_e5f453.pkl": lambda: zoo(mask2former("swin_l", 80, 200)),
    # Mask2Former-VIS and MinVIS on YouTube-VIS 2019.
    "model_final_34112b.pkl": lambda: zoo(mask2former("r50", 40, 100)),
    "model_final_26fffe.pkl": lambda: zoo(mask2former("swin_t", 40, 100)),
    "minvis_ytvis19_R50.pth": lambda: trained(mask2former("r50", 40, 100)),
}


def write(name, drawn=False):
    content = FILES[name]()
    if name.endswith(".pth"):
        (write_drawn_pth if drawn else write_pth)(name, content)
    elif name.startswith("swin"):
        assert not drawn, f"{name} has zeros only"
        write_stored_pkl(name, content)
    else:
        write_numpy_pkl(name, content, drawn)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--drawn", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(FILES))
    for name in arguments.files:
        write(name, arguments.drawn)


if __name__ == "__main__":
    main()
