from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from gradekit import device
from gradekit.device import Rates, measured, target


def test_the_environment_forces_the_fallback(monkeypatch):
    monkeypatch.setenv("GRADEKIT_DEVICE", "cpu")
    found = device.current()
    assert found.kind == "cpu"
    assert found.name
    assert found.capability is None


def test_an_accelerator_comes_first(monkeypatch):
    monkeypatch.delenv("GRADEKIT_DEVICE", raising=False)
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    assert device.current().kind == ("cuda" if has_cuda else "mps" if has_mps else "cpu")


def test_a_device_that_is_not_there_or_not_known_is_refused(monkeypatch):
    monkeypatch.setenv("GRADEKIT_DEVICE", "abacus")
    with pytest.raises(ValueError, match="'abacus': expected one of cuda, mps, cpu"):
        device.current()
    monkeypatch.setenv("GRADEKIT_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="'cuda': this machine has only cpu"):
        device.current()


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """An empty cache folder that is not there yet, a CPU, and measurements that take next to no time."""
    monkeypatch.setenv("GRADEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRADEKIT_DEVICE", "cpu")
    monkeypatch.setattr(measured, "SHARE_S", 0.001)
    return tmp_path / "cache"


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """One entry for every measurement, which is invented: the n-th says that the bandwidth is n."""
    calls: list[int] = []

    def invented(where):
        calls.append(1)
        return Rates({"float32": 1e11}, float(len(calls)), 5e10, 1e-6)

    monkeypatch.setattr(measured, "_measure", invented)
    return calls


def test_rates_of_this_machine_are_plausible(cache):
    found = device.rates()
    assert 1e8 < found.matmul["float32"] < 1e14
    assert 1e8 < found.bandwidth < 1e13
    assert 1e-8 < found.launch_s < 1e-2
    assert "tf32" not in found.matmul


def test_rates_are_measured_once_and_kept_in_one_file(cache, counted):
    assert [device.rates().bandwidth for _ in range(3)] == [1.0, 1.0, 1.0]
    assert [path.name.startswith("rates-") for path in cache.iterdir()] == [True]
    assert device.rates(fresh=True).bandwidth == 2.0
    assert device.rates().bandwidth == 2.0


def test_another_version_of_torch_or_number_of_threads_is_measured_anew(cache, counted, monkeypatch):
    device.rates()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 123)
    assert device.rates().bandwidth == 2.0
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert device.rates().bandwidth == 3.0
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:40],
        lambda text: "[]",
        lambda text: "null",
        lambda text: "{}",
        lambda text: text.replace('"float32": 1', '"float32": -1'),
        lambda text: text.replace('"bandwidth": 1.0', '"bandwidth": "fast"'),
        lambda text: text.replace('"bandwidth": 1.0', '"bandwidth": NaN'),
        lambda text: text.replace('"matmul": {', '"matmul": [], "old": {'),
        lambda text: text.replace('"torch": "', '"torch": "0'),
        lambda text: "\x00\xff",
    ],
)
def test_a_damaged_cache_is_measured_again_and_mended(cache, counted, change):
    device.rates()
    (path,) = cache.iterdir()
    path.write_text(change(path.read_text()))
    assert device.rates().bandwidth == 2.0
    assert device.rates().bandwidth == 2.0


def test_a_cache_that_cannot_be_written_is_done_without(cache, counted):
    cache.write_text("a file where the folder should be")
    assert [device.rates().bandwidth for _ in range(2)] == [1.0, 2.0]


def test_a_failed_write_leaves_nothing_behind(cache, counted, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    device.rates()
    assert list(cache.iterdir()) == []


def test_the_cache_lies_where_the_system_wants_it(monkeypatch, tmp_path):
    monkeypatch.delenv("GRADEKIT_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert device.cache_folder() == tmp_path / "gradekit"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert device.cache_folder().parts[-3:] == ("Library", "Caches", "gradekit")


HERE = Rates({"float32": 50e9, "bfloat16": 200e9}, 20e9, 80e9, 2e-6)


def test_a_target_grows_as_the_rate_is_smaller_here(cache):
    found = device.scale(2e-3, on="A100", limited_by="bfloat16", here=HERE)
    assert found.seconds == pytest.approx(2e-3 * 312e12 / 200e9)
    assert found.words.startswith("2 ms on an A100 (312 TFLOP/s in bfloat16) is 3.12 s here (")
    assert found.words.endswith(": 200 GFLOP/s in bfloat16)")
    found = device.scale(1e-3, on="T4", limited_by="bandwidth", here=HERE)
    assert found.seconds == pytest.approx(16e-3)
    assert found.words.startswith("1 ms on a T4 (320 GB/s) is 16 ms here (")


def test_a_kind_of_product_that_is_lacking_here_becomes_the_best_there_is(cache):
    found = device.scale(1e-6, on="A100", limited_by="tf32", here=Rates({"float32": 50e9}, 20e9, 80e9, 2e-6))
    assert found.seconds == pytest.approx(1e-6 * 156e12 / 50e9)
    assert "50 GFLOP/s in float32, for want of tf32" in found.words


def test_on_the_named_device_itself_the_target_stays(monkeypatch):
    a100 = device.Device("cuda", "NVIDIA A100-SXM4-40GB", 40 * 2**30, (8, 0))
    monkeypatch.setattr(target, "current", lambda: a100)
    found = device.scale(2e-3, on="A100", limited_by="bfloat16")
    assert (found.seconds, found.words) == (2e-3, "2 ms on the A100 that this is")
    assert device.scale(2e-3, on="T4", limited_by="float32", here=HERE).seconds == pytest.approx(2e-3 * 8.1e12 / 50e9)


def test_an_unknown_device_or_rate_is_refused():
    with pytest.raises(ValueError, match="'Abacus': expected one of A100, H100"):
        device.scale(1.0, on="Abacus", limited_by="float32")
    with pytest.raises(ValueError, match="'bfloat16': for the T4 there are float32, bandwidth"):
        device.scale(1.0, on="T4", limited_by="bfloat16")


def test_data_in_a_cache_is_read_no_slower_than_from_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADEKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("GRADEKIT_DEVICE", "cpu")
    found = device.rates(fresh=True)
    assert found.cache_bandwidth > found.bandwidth / 2 > 0


def test_the_clock_is_read_where_the_system_tells(tmp_path, monkeypatch):
    from gradekit.device import frequency

    monkeypatch.setattr(frequency, "_CORES", tmp_path)
    here = device.Device("cpu", "a processor")
    assert device.clock_mhz(here) is None
    for number, khz in enumerate(("1800000", "2400000", "not a number")):
        (tmp_path / f"cpu{number}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{number}" / "cpufreq" / "scaling_cur_freq").write_text(khz)
    assert device.clock_mhz(here) == 2400
    assert device.clock_mhz(device.Device("mps", "a laptop")) is None
    monkeypatch.setattr("torch.cuda.clock_rate", lambda: 1980)
    assert device.clock_mhz(device.Device("cuda", "a GPU")) == 1980
