"""The reference of week 8 against torch's own schedule and clipping, which it does not use."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradekit import data
from reference import week08_one_cycle as reference


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small operations, on machines that do other things meanwhile: threads would wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def close(got: float, want: float, scale: float) -> bool:
    return abs(got - want) <= 8 * np.finfo(float).eps * scale


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("anneal_strategy", ["cos", "linear"])
def test_whole_runs_are_those_of_torchs_schedule(anneal_strategy: str, three_phase: bool, kind: str) -> None:
    grid = itertools.product(
        (7, 100, 333), (0.17, 0.3, 0.5, 0.85), ((25.0, 1e4), (1.5, 3.0)), ((0.85, 0.95), (0.7, 0.7))
    )
    for total, pct_start, (div, final), (base, top) in grid:
        if three_phase and pct_start > 0.5:
            continue
        options = {
            "anneal_strategy": anneal_strategy, "three_phase": three_phase, "pct_start": pct_start,
            "div_factor": div, "final_div_factor": final, "base_momentum": base, "max_momentum": top,
        }  # fmt: skip
        optimizers = []
        for _ in range(2):
            groups = [{"params": [nn.Parameter(torch.zeros(1))]}, {"params": [nn.Parameter(torch.zeros(1))]}]
            extra = {"momentum": 0.9} if kind == "SGD" else {}
            optimizers.append(getattr(torch.optim, kind)(groups, lr=1e-3, **extra))
        theirs, ours = optimizers
        schedule = torch.optim.lr_scheduler.OneCycleLR(theirs, [0.3, 2.0], total_steps=total, **options)  # type: ignore[arg-type]
        for step in range(total):
            reference.set_one_cycle(ours, step, total, [0.3, 2.0], **options)
            for mine, other, peak in zip(ours.param_groups, theirs.param_groups, (0.3, 2.0), strict=True):
                assert close(mine["lr"], other["lr"], peak)
                momentum = "momentum" if kind == "SGD" else "betas"
                mine_m, other_m = mine[momentum], other[momentum]
                if kind == "Adam":
                    assert mine_m[1:] == other_m[1:]
                    mine_m, other_m = mine_m[0], other_m[0]
                assert close(mine_m, other_m, 1.0)
            theirs.step()
            if step < total - 1:
                schedule.step()


def test_momentum_stays_where_it_is_if_told_so() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.5)
    reference.set_one_cycle(optimizer, 3, 10, 0.1, cycle_momentum=False)
    assert optimizer.param_groups[0]["momentum"] == 0.5
    assert optimizer.param_groups[0]["lr"] == reference.one_cycle(3, 10, 0.1)[0]


def test_steps_strategies_and_groups_that_there_are_not_are_refused() -> None:
    for step in (-1, 10):
        with pytest.raises(ValueError, match="the steps 0 to 9"):
            reference.one_cycle(step, 10, 0.1)
    with pytest.raises(ValueError, match="expected 'cos' or 'linear'"):
        reference.one_cycle(0, 10, 0.1, anneal_strategy="poly")
    with pytest.raises(ValueError, match="each of the 1 groups"):
        reference.set_one_cycle(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), 0, 10, [0.1, 0.2])


SHAPES = [(3, 4), (5,), (), (2, 1, 3), (0, 4)]


def with_gradients(dtype: torch.dtype, factor: float = 1.0) -> list[nn.Parameter]:
    numbers = torch.Generator().manual_seed(0)
    found = []
    for shape in SHAPES:
        p = nn.Parameter(torch.zeros(shape, dtype=dtype))
        p.grad = factor * torch.randn(shape, generator=numbers, dtype=torch.float64).to(dtype)
        found.append(p)
    return [*found, nn.Parameter(torch.zeros(3, dtype=dtype))]  # the last has no gradient


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, 0.5, math.inf])
@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 1e3])
def test_clipping_is_torchs_bit_by_bit(dtype: torch.dtype, norm_type: float, max_norm: float) -> None:
    ours, theirs = with_gradients(dtype)[:4], with_gradients(dtype)[:4]
    got = reference.clip_grad_norm_(iter(ours), max_norm, norm_type)
    want = nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert torch.equal(got, want)
    assert got.dtype == want.dtype
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine.grad, other.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("norm_type", [2.0, math.inf])
def test_what_is_not_finite_is_treated_as_torch_does(bad: float, norm_type: float) -> None:
    def spoilt() -> list[nn.Parameter]:
        parameters = [p for p in with_gradients(torch.float32) if p.numel()]  # of nothing there is no largest value
        parameters[0].grad[1, 2] = bad  # type: ignore[index]
        return parameters

    ours, theirs = spoilt(), spoilt()
    got = reference.clip_grad_norm_(ours, 1.0, norm_type)
    want = nn.utils.clip_grad_norm_(theirs, 1.0, norm_type)
    assert torch.allclose(got, want, equal_nan=True)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.grad is None) == (other.grad is None)
        if mine.grad is not None:
            assert torch.allclose(mine.grad, other.grad, equal_nan=True)  # type: ignore[arg-type]
    ours = spoilt()
    with pytest.raises(RuntimeError, match="nothing was clipped"):
        reference.clip_grad_norm_(ours, 1.0, norm_type, error_if_nonfinite=True)
    assert torch.equal(ours[1].grad, spoilt()[1].grad)  # type: ignore[arg-type]


def test_one_tensor_and_no_gradient_at_all() -> None:
    p = nn.Parameter(torch.zeros(2))
    assert reference.clip_grad_norm_(p, 1.0).item() == 0.0
    p.grad = torch.tensor([3.0, 4.0])
    held = p.grad
    assert reference.clip_grad_norm_(p, 1.0).item() == 5.0
    assert torch.allclose(held, torch.tensor([0.6, 0.8]))


def least_squares() -> tuple[nn.Module, torch.optim.Optimizer, list[tuple[torch.Tensor, torch.Tensor]], float]:
    """A linear model, and the largest curvature of its loss: plain descent diverges above 2 over it."""
    numbers = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=numbers, dtype=torch.float64)
    y = x @ torch.tensor([[1.0], [-2.0], [3.0]], dtype=torch.float64) + torch.randn(40, 1, generator=numbers).double()
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    curvature = float(torch.linalg.eigvalsh(2 * x.T @ x / 40).max())
    return model, torch.optim.SGD(model.parameters(), lr=1.0), [(x, y)], curvature


def test_the_range_test_diverges_where_theory_says() -> None:
    model, optimizer, batches, curvature = least_squares()
    rates, losses = reference.lr_range_test(
        model, optimizer, F.mse_loss, batches, lr_min=1e-2, lr_max=10.0, steps=60, smoothing=0.0
    )
    limit = 2 / curvature
    falling = [after <= before for rate, before, after in zip(rates, losses, losses[1:], strict=False) if rate < limit]
    assert len(falling) > 20
    assert all(falling[:-1])
    assert losses[-1] > 4 * min(losses) >= losses[-2]
    assert limit < rates[-1]
    assert len(rates) < 60


def test_the_smoothed_loss_of_a_constant_loss_is_that_loss() -> None:
    model, optimizer, batches, _ = least_squares()
    rates, losses = reference.lr_range_test(
        model, optimizer, lambda a, b: 0 * a.sum() + 7.0, batches, lr_min=1e-4, lr_max=1.0, steps=20, smoothing=0.98
    )
    assert np.allclose(losses, 7.0)
    assert np.allclose(np.diff(np.log(rates)), np.log(1e4) / 19)


@pytest.mark.parametrize("fails", [False, True])
def test_the_range_test_leaves_everything_as_it_was(fails: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.25)
    x, y = torch.randn(8, 3), torch.randint(2, (8,))
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = {k: v.clone() for k, v in optimizer.state[model[0].weight].items()}
    gradients = [p.grad.clone() for p in model.parameters()]  # type: ignore[union-attr]
    batches = [(x, y), (x[:, :2], y)] if fails else [(x, y)]
    if fails:
        with pytest.raises(RuntimeError):
            reference.lr_range_test(model, optimizer, F.cross_entropy, batches)
    else:
        reference.lr_range_test(model, optimizer, F.cross_entropy, batches)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(torch.equal(v, state[k]) for k, v in optimizer.state[model[0].weight].items())
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert [m.training for m in model] == [True, False, True]
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))  # type: ignore[arg-type]


def test_the_suggestion_is_the_steepest_point() -> None:
    rates = np.geomspace(1e-4, 1.0, 41)
    losses = 2 - np.tanh(3 * (np.log10(rates) + 2))  # steepest at 0.01
    assert math.isclose(reference.suggest_lr(rates.tolist(), losses.tolist()), 0.01)
    with pytest.raises(ValueError, match="falls nowhere"):
        reference.suggest_lr(rates.tolist(), (-losses).tolist())
    with pytest.raises(ValueError, match="falls nowhere"):
        reference.suggest_lr([0.1, 0.2], [2.0, 1.0])


def test_training_learns_shapes() -> None:
    scenes, unseen = data.shapes(2000, seed=3), data.shapes(500, seed=3, split="test")
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32),
        nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip
    history = reference.train(model, scenes.images, scenes.labels, 3)
    assert len(history["loss"]) == len(history["lr"]) == 3 * 50
    assert max(history["lr"]) > 0.09
    assert history["lr"][-1] < 1e-5
    model.eval()
    with torch.no_grad():
        right = model(unseen.images).argmax(1) == unseen.labels
    assert right.float().mean() > 0.3
