"""What usually causes a wrong output, said only where the numbers themselves show it."""

from collections.abc import Iterator

import torch


def cause(got: torch.Tensor, truth: torch.Tensor, wrong: torch.Tensor, allowed: float) -> str:
    """A clause that begins with "; ", or "" if nothing explains the difference.

    got, truth: float64 of one shape; wrong: where they differ; allowed: the error up to which an explanation holds.
    """
    return next((f"; {text}" for text, holds in _explanations(got, truth, wrong, allowed) if holds), "")


def _explanations(
    got: torch.Tensor, truth: torch.Tensor, wrong: torch.Tensor, allowed: float
) -> Iterator[tuple[str, bool]]:
    def equal(a: torch.Tensor, b: torch.Tensor) -> bool:
        return bool(((a - b).abs() <= allowed).all())

    finite = bool(torch.isfinite(truth).all())
    if not finite or truth.numel() < 2:
        return
    yield "every value is zero", not bool(got.any())
    yield "the sign is flipped", equal(got, -truth)
    size = float((truth.conj() * truth).sum().real)
    if size > 0 and not truth.is_complex():
        factor = float((got * truth).sum()) / size
        yield f"every value is {factor:.4g} times the expected one", factor != 0 and equal(got, factor * truth)
    shift = float((got - truth).real.mean())
    yield f"every value is {shift:+.4g} off", equal(got, truth + shift)
    dims = truth.dim()
    if dims >= 2 and truth.shape[-1] == truth.shape[-2]:
        yield "the last two dimensions are swapped", equal(got, truth.transpose(-1, -2))
    for dim in range(dims):
        if truth.shape[dim] > 1:
            yield f"the values are in reverse order along dimension {dim}", equal(got, truth.flip(dim))
    if dims >= 2:
        yield "the last two dimensions are both reversed", equal(got, truth.flip(-1, -2))
    for dim in range(dims):
        if truth.shape[dim] > 2:
            later = got.narrow(dim, 1, truth.shape[dim] - 1)
            yield f"shifted by one along dimension {dim}", equal(later, truth.narrow(dim, 0, truth.shape[dim] - 1))
            earlier = got.narrow(dim, 0, truth.shape[dim] - 1)
            yield f"shifted by one along dimension {dim}", equal(earlier, truth.narrow(dim, 1, truth.shape[dim] - 1))
    if dims >= 3 and min(truth.shape[-2:]) > 2:
        inside = wrong[..., 1:-1, 1:-1]
        yield "only the border is wrong: look at the padding", not bool(inside.any())
    if dims >= 1 and truth.shape[0] > 1:
        first = wrong[1:].any() and not wrong[0].any()
        yield "the first item along dimension 0 is right, later ones are not", bool(first)
