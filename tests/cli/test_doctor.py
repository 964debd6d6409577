"""The doctor on this machine, and on machines that are described to it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import sys

import pytest
from typer.testing import CliRunner

from gradekit import device, doctor
from gradekit.cli import app
from gradekit.device import Rates, measured
from gradekit.doctor import Finding, examine, works
from gradekit.sandbox.jail import Isolation


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADEKIT_DEVICE", "cpu")
    monkeypatch.setenv("GRADEKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(measured, "SHARE_S", 0.001)


def test_this_machine_grades():
    """Real throughout: these tests could not run otherwise."""
    found = {finding.subject: finding for finding in examine()}
    assert works(list(found.values()))
    assert found["torch"].said == importlib.metadata.version("torch")
    assert found["device"].said.startswith("cpu: ")
    assert "(GRADEKIT_DEVICE says so)" in found["device"].said
    assert "GFLOP/s; memory" in found["rates"].said
    isolation = found["isolation"]
    assert isolation.state == "ok" or "not the jail: without" in isolation.said
    noise = found["noise of a speed check"]
    assert "ms against itself: " in noise.said
    assert "% from a limit can be told" in noise.said
    assert [f.subject for f in found.values() if f.state == "missing"] == []
    assert all(finding.mend for finding in found.values() if finding.state != "ok")


def test_less_than_a_jail_is_told_with_what_is_missing(monkeypatch):
    layers = {"session": "on", "seccomp": "the kernel has none", "view": "not needed as root"}
    monkeypatch.setattr("gradekit.sandbox.jail.probe.probe", lambda accelerator: Isolation("process", layers))
    found = doctor._isolation("cpu")
    assert (found.state, found.said) == ("note", "process, not the jail: without seccomp (the kernel has none)")
    assert "--require-isolation" in found.mend

    def fails(accelerator):
        raise RuntimeError("a jail could not be started")

    monkeypatch.setattr("gradekit.sandbox.jail.probe.probe", fails)
    assert doctor._isolation("cpu").state == "note"


def show(monkeypatch, *findings):
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings))
    return CliRunner().invoke(app, ["doctor"])


def test_the_command_exits_with_0_if_grading_works(monkeypatch):
    outcome = show(monkeypatch, Finding("torch", "ok", "2.15"), Finding("Docker", "note", "asleep", "wake it"))
    assert outcome.exit_code == 0
    assert "mend: wake it" in outcome.stdout
    assert "Grading works here." in outcome.stdout


def test_the_command_exits_with_1_and_names_what_is_missing(monkeypatch):
    outcome = show(monkeypatch, Finding("torch", "missing", "not [red]installed", "pip install torch"))
    assert outcome.exit_code == 1
    assert "not [red]installed" in outcome.stdout
    assert "Grading does not work here yet: see torch." in outcome.stdout


def versions(monkeypatch, **changed):
    known = importlib.metadata.version

    def version(name):
        if name not in changed:
            return known(name)
        if changed[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return changed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return {package.name: doctor._package(package) for package in doctor._PACKAGES}


def test_a_package_that_is_absent_or_too_old_has_a_mend(monkeypatch):
    found = versions(monkeypatch, torch=None, nbgrader=None, numpy="1.26.4", jupyterlab="4.1")
    states = {name: finding.state for name, finding in found.items() if finding.state != "ok"}
    assert states == {"torch": "missing", "numpy": "missing", "nbgrader": "note", "jupyterlab": "note"}
    assert found["numpy"].said == "1.26.4, 2 or newer is needed"
    assert found["torch"].mend == "pip install 'torch>=2.11'"
    assert versions(monkeypatch, torch="2.11.0+cu128")["torch"].state == "ok"


def test_without_torch_nothing_is_measured_and_nothing_crashes(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradekit.device", None)
    versions(monkeypatch, torch=None)
    found = list(examine())
    assert [f.subject for f in found if f.state == "missing"] == ["torch"]
    assert found[-1].subject == "Docker"


def test_a_wrong_GRADEKIT_DEVICE_is_missing_with_a_mend(monkeypatch):
    monkeypatch.setenv("GRADEKIT_DEVICE", "abacus")
    (found,) = [finding for finding in examine() if finding.subject == "device"]
    assert (found.state, found.mend) == ("missing", "unset GRADEKIT_DEVICE")


def test_a_system_without_fork_cannot_grade(monkeypatch):
    monkeypatch.delattr(os, "fork")
    assert doctor._machine().state == "missing"


def test_a_measurement_that_fails_is_a_finding():
    def broken():
        raise RuntimeError("no kernel image\nis available")

    found = doctor._guarded("rates", broken)
    assert (found.state, found.said) == ("missing", "RuntimeError: no kernel image is available")


def test_a_gpu_that_torch_does_not_see_is_noted(monkeypatch):
    monkeypatch.delenv("GRADEKIT_DEVICE")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    cpu = device.Device("cpu", "a processor")
    assert doctor._device(cpu).state == "note"
    gpu = dataclasses.replace(cpu, kind="cuda", name="NVIDIA T4", memory_bytes=16 * 2**30, capability=(7, 5))
    assert doctor._device(gpu).said == "cuda: NVIDIA T4, 16 GiB, compute capability 7.5"


def test_noise_says_which_difference_can_be_told():
    quiet = doctor._noise_said(1.0, 0.99, 1.01, 189, [1e-3] * 189)
    assert quiet.state == "ok"
    assert quiet.said.endswith("1.000 (0.990 to 1.010) after 189 pairs; a difference of 2.0% from a limit can be told")
    assert doctor._noise_said(1.0, 0.8, 1.2, 189, [1e-3] * 189).state == "note"


@pytest.mark.parametrize(
    ("info", "complaint", "state", "says"),
    [
        ({}, "not installed", "note", "cannot be used (not installed)"),
        ({"ServerVersion": ""}, "Cannot connect\nat all", "note", "cannot be used (Cannot connect)"),
        ({"ServerVersion": "29", "DefaultRuntime": "runc"}, "", "ok", "29, default runtime runc"),
        ({"ServerVersion": "29", "DefaultRuntime": "nvidia", "Runtimes": {"nvidia": {}}}, "", "ok", "see the GPU"),
        ({"ServerVersion": "29", "DefaultRuntime": "runc", "Runtimes": {"nvidia": {}}}, "", "note", "see no GPU"),
    ],
)
def test_docker_and_its_runtime(monkeypatch, info, complaint, state, says):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    found = doctor._docker(lambda: (json.dumps(info) if info else "", complaint))
    assert (found.state, says in found.said) == (state, True)
    assert found.mend or state == "ok"


def test_rates_are_shown_in_units():
    found = Rates({"float32": 1.5e12}, 2e11, 6e11, 3e-6)
    original, device.rates = device.rates, lambda: found
    try:
        assert doctor._rates().said.startswith("matrix products float32 1,500 GFLOP/s; memory 200 GB/s; an operation")
    finally:
        device.rates = original
