"""The full counterpart of the shapes, from a folder that looks like the download: no test reaches a network."""

from __future__ import annotations

import hashlib
import pickle
import sys

import numpy as np
import pytest
import torch

from gradekit import data

BATCHES = [f"data_batch_{i}" for i in range(1, 6)]
PER_BATCH = 1200  # of 10,000


@pytest.fixture
def download(tmp_path, monkeypatch):
    """A folder as torchvision leaves it, with fewer images, and torchvision's checksums set to what is in it."""
    datasets = pytest.importorskip("torchvision.datasets")
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    numbers = np.random.default_rng(0)
    sums = {}
    for name in [*BATCHES, "test_batch", "batches.meta"]:
        content = {"label_names": list("abcdefghij")}
        if name != "batches.meta":
            images = numbers.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)
            content = {"data": images, "labels": (images[:, 0] % 10).tolist()}
        raw = pickle.dumps(content)
        (folder / name).write_bytes(raw)
        sums[name] = hashlib.md5(raw).hexdigest()
    kind = datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [[name, sums[name]] for name in BATCHES])
    monkeypatch.setattr(kind, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": sums["batches.meta"]})
    monkeypatch.setenv("GRADEKIT_DATA", "full")
    return tmp_path


def test_it_has_what_a_classifier_takes_of_the_shapes(download):
    photos = data.cifar10(100, folder=download)
    assert len(photos) == 100
    assert photos.images.shape == (100, 3, 32, 32)
    assert photos.images.dtype == torch.float32
    assert 0 <= float(photos.images.min()) < float(photos.images.max()) <= 1
    assert photos.labels.dtype == torch.int64
    first = (photos.images[:, 0, 0, 0] * 255).round().long()  # by which the labels of this folder were made
    assert torch.equal(photos.labels, first % 10)


def test_splits_share_no_image_and_seeds_change_the_order_alone(download):
    whole = data.cifar10(folder=download).images.flatten(1)
    held = data.cifar10(split="validation", folder=download).images.flatten(1)
    assert len(data.cifar10(split="test", folder=download)) == PER_BATCH
    assert (len(whole), len(held)) == (5 * PER_BATCH - 5000, 5000)
    rows = {tuple(row) for row in whole[:, :8].tolist()}
    assert rows.isdisjoint(tuple(row) for row in held[:, :8].tolist())
    other = data.cifar10(seed=1, folder=download).images.flatten(1)
    assert not torch.equal(whole, other)
    assert {tuple(row) for row in other[:, :8].tolist()} == rows


def test_without_consent_nothing_is_loaded(download, monkeypatch):
    monkeypatch.delenv("GRADEKIT_DATA")
    with pytest.raises(PermissionError, match=r"170 MB: set the environment variable GRADEKIT_DATA=full"):
        data.cifar10(10, folder=download)


def test_without_torchvision_it_says_what_to_install(download, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(ImportError, match="pip install torchvision"):
        data.cifar10(10, folder=download)


def test_without_a_network_it_says_where_to_put_the_files(download, tmp_path, monkeypatch):
    import torchvision.datasets.cifar as cifar

    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(cifar, "download_and_extract_archive", unreachable)
    with pytest.raises(ConnectionError, match="cifar-10-batches-py"):
        data.cifar10(10, folder=tmp_path / "empty")


def test_what_there_is_not_is_refused(download):
    with pytest.raises(ValueError, match="expected one of train, validation, test"):
        data.cifar10(10, split="dev", folder=download)
    with pytest.raises(ValueError, match="has 5,000 images"):
        data.cifar10(5001, split="validation", folder=download)
