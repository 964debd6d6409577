"""The bytes of a safetensors file -> the tensors in it. Nothing of them is executed, whatever they are.

The format is a length (8 bytes, little-endian), a header in JSON that names each tensor's dtype, shape and place, and
the numbers (github.com/huggingface/safetensors, "Format"). The library checks that the header describes the rest of
the file byte for byte; what it takes beyond that is bounded here.
"""

import math
from typing import Any

import torch

from gradekit.check.beside import refused
from gradekit.shown import shown

MOST_HEADER = 2**20  # bytes: the library takes 100 MB of it, which are a gigabyte of objects once they are parsed
MOST_TENSORS = 2048  # a message to a worker holds twice as many
MOST_DIMS = 16

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # as torch.save writes, and pickle.dump


def read_weights(data: bytes, file: str) -> dict[str, torch.Tensor]:
    """Every tensor of the file by its name, on the CPU and in memory of its own.

    Raises CheckFailed, naming `file`, for what is no whole safetensors file, dtypes beyond DTYPES, empty tensors, and
    numbers that are not finite.
    """
    if data.startswith(_PICKLES):
        raise refused(
            file,
            "is a pickle, as torch.save writes it, which is never opened: write it with "
            f'safetensors.torch.save_file(model.state_dict(), "{file}")',
        )
    header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or (header <= MOST_HEADER and 8 + header > len(data)):
        raise refused(file, f"is not a whole safetensors file: it ends after {len(data):,} bytes, within its header")
    if header > MOST_HEADER:
        raise refused(
            file,
            f"is not a safetensors file that is taken: it begins with a header of {header:,} bytes, {MOST_HEADER:,} "
            "are allowed",
        )
    # Not at the top: students' other checks need no such library.
    from safetensors import deserialize

    try:
        found = deserialize(data)
    except Exception as error:  # whatever it says, the file is at fault
        said = shown(str(error), 200)
        raise refused(file, f"is not a safetensors file that can be read; is it whole? ({said})") from None
    if not found or len(found) > MOST_TENSORS:
        raise refused(file, f"holds {len(found)} tensors: expected 1 to {MOST_TENSORS}")
    return {name: _tensor(file, name, part) for name, part in found}


def _tensor(file: str, name: str, part: dict[str, Any]) -> torch.Tensor:
    kind, shape, told = str(part["dtype"]), list(part["shape"]), f"{shown(name, 80)!r}"
    if kind not in DTYPES:
        raise refused(file, f"holds {told} of dtype {kind}: expected {', '.join(DTYPES)}")
    if len(shape) > MOST_DIMS or math.prod(shape) == 0:
        raise refused(file, f"holds {told} of shape {tuple(shape[:MOST_DIMS])}: a tensor with numbers in it is needed")
    memory = bytearray(part["data"])
    if kind == "BOOL":  # bytes other than 0 and 1 are no truth values
        return torch.frombuffer(memory, dtype=torch.uint8).ne(0).reshape(shape)
    tensor = torch.frombuffer(memory, dtype=DTYPES[kind]).reshape(shape)
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise refused(file, f"holds {told} with NaN or infinity in it: did the training diverge?")
    return tensor
