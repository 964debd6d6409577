"""CIFAR-10, the full counterpart of `shapes` for the task "classify". A download, so only by consent."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gradekit.data.consent import CONSENT, wants_full
from gradekit.data.shapes import Split

HELD_OUT = 5_000
"""Images of the training file that the split "validation" gets."""


@dataclasses.dataclass(frozen=True)
class Photos:
    """n photographs; fields as those of `Shapes`."""

    images: Tensor
    """(n, 3, 32, 32) float32, red, green, blue from 0 to 1."""
    labels: Tensor
    """(n,) int64: 0 airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck 9."""

    def __len__(self) -> int:
        return len(self.labels)


def cifar10(
    n: int | None = None,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    split: Split = "train",
    folder: str | Path = "~/.cache/gradekit",
) -> Photos:
    """n colour photographs of ten classes (all that there are without n), in an order drawn from `seed`.

    split: "train" has 45,000 images, "validation" 5,000 others of the same file, always the same ones, "test" 10,000.

    Size: a download of 170 MB (163 MiB), once, to `folder`, through torchvision, which checks what came.
    Source: A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images* (2009), https://www.cs.toronto.edu/~kriz/cifar.html
    Licence: its authors state none; they ask to be cited.

    Raises PermissionError unless the environment variable GRADEKIT_DATA is `full`, ImportError without torchvision,
    ConnectionError, saying where to put the files by hand, if they cannot be had, and ValueError for a split or n that
    there is not.
    """
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split={split!r}: expected one of train, validation, test")
    if not wants_full():
        raise PermissionError(
            f"CIFAR-10 is a download of 170 MB: set the environment variable {CONSENT}=full to agree to it, or stay "
            "with gradekit.data.shapes, which needs none"
        )
    try:
        from torchvision.datasets import CIFAR10
    except ImportError as error:
        raise ImportError("CIFAR-10 comes through torchvision: pip install torchvision") from error
    place = Path(folder).expanduser()
    try:
        place.mkdir(parents=True, exist_ok=True)
        loaded = CIFAR10(place, train=split != "test", download=True)
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"CIFAR-10 could not be downloaded to {place} ({type(error).__name__}: {error}). Without a network, put "
            f"the folder cifar-10-batches-py of https://www.cs.toronto.edu/~kriz/cifar.html there by hand"
        ) from error
    if split == "test":
        chosen = np.arange(len(loaded.data))
    else:  # RandomState is frozen: the same images are held out in every NumPy
        shuffled = np.random.RandomState(0).permutation(len(loaded.data))
        chosen = shuffled[:HELD_OUT] if split == "validation" else shuffled[HELD_OUT:]
    if n is None:
        n = len(chosen)
    if not 1 <= n <= len(chosen):
        raise ValueError(f"n={n}: the split {split!r} has {len(chosen):,} images")
    chosen = np.random.RandomState(seed).permutation(chosen)[:n]
    images = torch.from_numpy(loaded.data[chosen]).permute(0, 3, 1, 2).to(device, torch.float32) / 255
    labels = torch.tensor(loaded.targets, dtype=torch.int64)[torch.from_numpy(chosen)].to(device)
    return Photos(images.contiguous(), labels)
