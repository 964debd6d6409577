"""What a target that was stated for a named device ("2 ms on an A100") means on the device at hand."""

import dataclasses

from gradekit.device.measured import Rates, rates
from gradekit.device.present import current

NAMED = {
    "A100": {"float32": 19.5e12, "tf32": 156e12, "bfloat16": 312e12, "bandwidth": 1.555e12},
    "H100": {"float32": 67e12, "tf32": 495e12, "bfloat16": 989e12, "bandwidth": 3.35e12},
    "V100": {"float32": 15.7e12, "bandwidth": 0.9e12},
    "T4": {"float32": 8.1e12, "bandwidth": 0.32e12},
    "L4": {"float32": 30.3e12, "bfloat16": 121e12, "bandwidth": 0.3e12},
}
"""Peak rates from NVIDIA's data sheets, dense (A100 with 40 GB, H100 and V100 as SXM).

A real one reaches 70 to 95 % of them, so a target that is scaled to measured rates is lenient by that much.
"""


@dataclasses.dataclass(frozen=True)
class Scaled:
    """seconds: the target here; words: what was scaled by what, for the student."""

    seconds: float
    words: str


def scale(seconds: float, *, on: str, limited_by: str, here: Rates | None = None) -> Scaled:
    """A target of so many seconds on a named device (`on`, a key of NAMED), for the device at hand.

    limited_by: what the time goes into: "bfloat16", "tf32" or "float32" (matrix products of that kind) or "bandwidth".
    The target grows as that rate is smaller here; a kind of product that this device lacks becomes the best that it
    has. On the named device itself the target stays what it is. here: rates to use instead of the measured ones.
    Raises ValueError for a device that is not known, or a rate that it does not have.
    """
    if on not in NAMED:
        raise ValueError(f"{on!r}: expected one of {', '.join(NAMED)}")
    if limited_by not in NAMED[on]:
        raise ValueError(f"{limited_by!r}: for the {on} there are {', '.join(NAMED[on])}")
    device = current()
    if device.kind == "cuda" and on in device.name.replace("-", " ").split():
        return Scaled(seconds, f"{show(seconds)} on the {on} that this is")
    measured, there = here or rates(), NAMED[on][limited_by]
    if limited_by == "bandwidth":
        mine, unit, kind = measured.bandwidth, "B/s", ""
    else:
        mine, unit, kind = measured.matmul.get(limited_by, 0.0), "FLOP/s", f" in {limited_by}"
        if not mine:  # e.g. bfloat16 on a processor that only pretends to have it
            name, mine = max(measured.matmul.items(), key=lambda item: item[1])
            kind = f" in {name}, for want of {limited_by}"
    there_kind = "" if limited_by == "bandwidth" else f" in {limited_by}"
    result = seconds * there / mine
    article = "an" if on[0] in "AHL" else "a"
    words = (
        f"{show(seconds)} on {article} {on} ({_si(there)}{unit}{there_kind}) is {show(result)} "
        f"here ({device.name}: {_si(mine)}{unit}{kind})"
    )
    return Scaled(result, words)


def show(seconds: float) -> str:
    """`2 ms`, `1.3 s`, `12 µs`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _si(rate: float) -> str:
    """`312 T`, `9.8 G`."""
    size, prefix = (1e12, "T") if rate >= 1e12 else (1e9, "G")
    return f"{rate / size:.3g} {prefix}"
