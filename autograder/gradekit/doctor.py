"""What this machine is, whether grading works on it, and how to mend what is missing. Nothing leaves the machine."""

import contextlib
import importlib.metadata
import json
import math
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Finding", "examine", "works"]

State = Literal["ok", "note", "missing"]

_DOCKER_SECONDS = 5.0
_A_A_WORK = 192


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and how to mend it.

    state: "missing" means that grading does not work here; "note" that it does, and something is worth knowing.
    """

    subject: str
    state: State
    said: str
    mend: str = ""


@dataclass(frozen=True)
class _Package:
    name: str
    least: str
    needed: bool
    what_for: str
    install: str


_PACKAGES = (
    _Package("torch", "2.11", True, "the checks", "pip install 'torch>=2.11'"),
    _Package("numpy", "2", True, "the checks", "pip install 'numpy>=2'"),
    _Package("otter-grader", "7", True, "bundles and test files", "pip install 'otter-grader[grading]>=7,<8'"),
    _Package("ipython", "8.18", True, "running notebooks", "pip install 'ipython>=8.18'"),
    _Package("nbformat", "5", True, "reading notebooks", "pip install nbformat"),
    _Package("jupyterlab", "4.2", False, "working on notebooks", "pip install 'jupyterlab>=4.2'"),
    _Package("nbgrader", "0.9.6", False, "nbgrader courses (instructors)", "pip install 'gradekit[instructor]'"),
)


def examine() -> Iterator[Finding]:
    """All findings, one after the other as they are made: about five seconds in all, most of it importing torch."""
    yield _python()
    yield _machine()
    packages = [_package(package) for package in _PACKAGES]
    yield from packages
    if not any(finding.state == "missing" for finding in packages[:2]):
        try:
            from gradekit import device

            current = device.current()
        except (ImportError, OSError, ValueError) as error:
            mend = "unset GRADEKIT_DEVICE" if isinstance(error, ValueError) else "reinstall torch for this system"
            yield Finding("device", "missing", str(error), mend)
        else:
            yield _device(current)
            for subject, look in (("rates", _rates), ("noise of a speed check", _noise)):
                yield _guarded(subject, look)
            yield _isolation(current.kind)
    yield _docker(_docker_info)


def works(findings: list[Finding]) -> bool:
    """Whether grading works on a machine of which this was found."""
    return not any(finding.state == "missing" for finding in findings)


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_implementation()} {platform.python_version()}")


def _machine() -> Finding:
    cores = os.cpu_count() or 1
    with contextlib.suppress(AttributeError, OSError):  # where the system tells which cores this process may use
        cores = len(os.sched_getaffinity(0))
    said = f"{platform.system()} {platform.machine()}, {cores} core{'s' if cores > 1 else ''}"
    with contextlib.suppress(AttributeError, OSError, ValueError):
        said += f", {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB of memory"
    if not hasattr(os, "fork"):
        mend = "grade in WSL or on Linux or macOS; working on a week goes well here"
        return Finding("machine", "missing", f"{said}: no fork, which grading needs", mend)
    return Finding("machine", "ok", said)


def _package(package: _Package) -> Finding:
    absent: State = "missing" if package.needed else "note"
    try:
        version = importlib.metadata.version(package.name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(package.name, absent, f"not installed; it is for {package.what_for}", package.install)
    if _numbers(version) < _numbers(package.least):
        return Finding(package.name, absent, f"{version}, {package.least} or newer is needed", package.install)
    return Finding(package.name, "ok", version)


def _numbers(version: str) -> list[int]:
    """`2.11.0+cpu` as [2, 11, 0]."""
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3]]


def _device(current: Any) -> Finding:
    forced = " (GRADEKIT_DEVICE says so)" if os.environ.get("GRADEKIT_DEVICE", "").strip() else ""
    said = f"{current.kind}: {current.name}"
    if current.memory_bytes:
        said += f", {current.memory_bytes / 2**30:.0f} GiB"
    if current.capability:
        said += f", compute capability {current.capability[0]}.{current.capability[1]}"
    if current.kind == "cpu" and not forced and shutil.which("nvidia-smi"):
        return Finding(
            "device",
            "note",
            f"{said}, though there is an NVIDIA driver: torch does not see a GPU",
            "install a build of torch with CUDA, and a driver that is new enough for it",
        )
    limits = "" if current.kind == "cuda" else "; limits for cuda alone are not assessed here and cost no points"
    return Finding("device", "ok", f"{said}{forced}{limits}")


def _guarded(subject: str, look: Callable[[], Finding]) -> Finding:
    """A measurement that fails is a finding and no crash."""
    try:
        return look()
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        return Finding(subject, "missing", f"{type(error).__name__}: {text}", "does torch work here? reinstall it")


def _isolation(kind: str) -> Finding:
    """What keeps a submission in, see docs/threat-model.md."""
    from gradekit.sandbox.jail.policy import ON
    from gradekit.sandbox.jail.probe import probe

    try:
        found = probe(accelerator=kind == "cuda")
    except RuntimeError as error:
        return Finding("isolation", "note", str(error), "grade only whom you trust here, or in a container on Linux")
    off = ", ".join(
        f"{name} ({why})" for name, why in found.layers.items() if why != ON and not why.startswith("not needed")
    )
    if found.level == "jail":
        return Finding("isolation", "ok", "jail: student code can do little but compute")
    mend = "grade on Linux as root, or in a container; --require-isolation jail refuses less"
    return Finding("isolation", "note", f"{found.level}, not the jail: without {off or 'most layers'}", mend)


def _rates() -> Finding:
    from gradekit import device

    found = device.rates()
    matmul = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in found.matmul.items())
    said = f"matrix products {matmul} GFLOP/s; memory {found.bandwidth / 1e9:.3g} GB/s; an operation starts in "
    return Finding("rates", "ok", f"{said}{found.launch_s * 1e6:.2g} µs")


def _noise() -> Finding:
    """A speed check of a function against itself, as long as checks measure at most: how wide is its interval?"""
    import torch

    from gradekit import check, device

    n = 1024 if device.current().kind == "cuda" else _A_A_WORK
    names = {"__name__": "the_same_function", "work": lambda x: torch.softmax(x @ x, -1) @ x}

    def itself(work: Any, x: Any) -> Any:
        return work(x)

    def inputs(rng: Any, where: str) -> dict[str, Any]:
        return {"x": check.normal(rng, n, n, device=where)}

    with check.evidence.collect() as found, contextlib.suppress(check.CheckFailed):
        check.speed(itself, dict(names), dict(names), inputs, at_most=1.0)
    data = found[0].data
    if "ratio" not in data:
        return Finding("noise of a speed check", "missing", found[0].message, "does torch work here? reinstall it")
    return _noise_said(data["ratio"], data["low"], data["high"], data["pairs"], data["student_s"])


def _noise_said(ratio: float, low: float, high: float, pairs: int, student_s: list[float]) -> Finding:
    width = math.log(high / low)  # the true ratio must lie that far from a limit for the interval to clear it surely
    milliseconds = 1e3 * sorted(student_s)[len(student_s) // 2]
    said = (
        f"a function of {milliseconds:.2g} ms against itself: {ratio:.3f} ({low:.3f} to {high:.3f}) after {pairs} "
        f"pairs; a difference of {math.expm1(width):.1%} from a limit can be told"
    )
    if math.expm1(width) > 0.2:
        mend = "let other programs finish; a laptop: plug it in; limits nearer than that stay undecided, and pass"
        return Finding("noise of a speed check", "note", said, mend)
    return Finding("noise of a speed check", "ok", said)


def _docker_info() -> tuple[str, str]:
    """What `docker info` prints (JSON), and what it complains of."""
    if shutil.which("docker") is None:
        return "", "not installed"
    try:
        ran = subprocess.run(
            ["docker", "info", "--format", "{{json .}}"], capture_output=True, text=True, timeout=_DOCKER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"no answer: {type(error).__name__}"
    return ran.stdout, ran.stderr.strip()


def _docker(ask: Callable[[], tuple[str, str]]) -> Finding:
    """Docker is for `otter grade` alone; grading with the kit works without it."""
    text, complaint = ask()
    try:
        info = json.loads(text)
    except ValueError:
        info = {}
    version = info.get("ServerVersion") if isinstance(info, dict) else ""
    if not version:
        mend = "only `otter grade` in containers needs it: install Docker Engine, start it, join the group docker"
        reason = complaint.splitlines()[0][:120] if complaint else "its daemon does not answer"
        return Finding("Docker", "note", f"cannot be used ({reason})", mend)
    default, runtimes = str(info.get("DefaultRuntime")), info.get("Runtimes") or {}
    said = f"{version}, default runtime {default}"
    if default == "nvidia":
        return Finding("Docker", "ok", f"{said}: containers see the GPU")
    if "nvidia" in runtimes:
        mend = 'set "default-runtime": "nvidia" in /etc/docker/daemon.json and restart Docker'
        return Finding("Docker", "note", f"{said}: `otter grade` grades on the CPU, its containers see no GPU", mend)
    if shutil.which("nvidia-smi"):
        mend = "install the NVIDIA Container Toolkit, then make nvidia the default runtime"
        return Finding("Docker", "note", f"{said}: containers see no GPU", mend)
    return Finding("Docker", "ok", said)
