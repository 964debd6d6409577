"""Week 8 from scratch: the one-cycle schedule, clipping by the global norm, the range test, and a training run.

A learning rate is a compromise only if it may not change. Large steps cross flat ground and leave narrow valleys; small
ones settle. One cycle (Smith 2018, arXiv:1708.07120) takes both: up to a rate that would not do for long, down to
almost nothing, with the momentum going the other way. How high is read from a range test (Smith 2017,
arXiv:1506.01186), and on the way the norm of the gradient is held below a limit (Pascanu et al. 2013, arXiv:1211.5063).
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

# -- the schedule ------------------------------------------------------------------------------------------------------


def one_cycle(
    step: int,
    total_steps: int,
    max_lr: float,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> tuple[float, float]:
    """Learning rate and momentum of a step, 0 <= step < total_steps: those of torch's OneCycleLR.

    Raises ValueError for a step outside of the cycle, and for an anneal_strategy other than "cos" and "linear".
    """
    if not 0 <= step < total_steps:
        raise ValueError(f"step={step}: this cycle has the steps 0 to {total_steps - 1}")
    if anneal_strategy not in ("cos", "linear"):
        raise ValueError(f"anneal_strategy={anneal_strategy!r}: expected 'cos' or 'linear'")
    initial_lr = max_lr / div_factor
    min_lr = initial_lr / final_div_factor
    peak = pct_start * total_steps - 1  # where the first phase ends; rarely a whole number
    # each phase: its last step, and learning rate and momentum there
    phases = [(peak, max_lr, base_momentum)]
    if three_phase:
        phases += [(2 * peak, initial_lr, max_momentum)]
    phases += [(total_steps - 1, min_lr, max_momentum)]

    start, lr, momentum = 0.0, initial_lr, max_momentum
    for end, next_lr, next_momentum in phases:
        if step <= end:
            done = (step - start) / (end - start)
            share = (1 - math.cos(math.pi * done)) / 2 if anneal_strategy == "cos" else done
            return lr + (next_lr - lr) * share, momentum + (next_momentum - momentum) * share
        start, lr, momentum = end, next_lr, next_momentum
    raise AssertionError("the last phase ends with the cycle")


def set_one_cycle(
    optimizer: torch.optim.Optimizer,
    step: int,
    total_steps: int,
    max_lr: float | Sequence[float],  # for all groups, or one for each
    cycle_momentum: bool = True,
    **options: Any,
) -> None:
    """Set every group of an optimizer for this step: its rate, and its momentum or the first of its betas."""
    groups = optimizer.param_groups
    rates = [max_lr] * len(groups) if isinstance(max_lr, int | float) else list(max_lr)
    if len(rates) != len(groups):
        raise ValueError(f"expected a max_lr for each of the {len(groups)} groups of the optimizer, got {len(rates)}")
    for group, rate in zip(groups, rates, strict=True):
        lr, momentum = one_cycle(step, total_steps, rate, **options)
        group["lr"] = lr
        if cycle_momentum and "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif cycle_momentum:
            group["momentum"] = momentum


# -- clipping ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by one number, in place, so that their norm as one long vector is at most max_norm.

    Returns the norm before. Raises RuntimeError, with all gradients as they were, if that is not finite and
    error_if_nonfinite is True.
    """
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.tensor(0.0)
    # The norm of the norms is the norm of all: one kernel for all tensors in place of one for each.
    norms = torch._foreach_norm(gradients, norm_type)
    norm = torch.linalg.vector_norm(torch.stack(norms), norm_type)
    if error_if_nonfinite and not torch.isfinite(norm):
        raise RuntimeError(f"the norm of the gradients is {float(norm)}: nothing was clipped")
    # No `if norm > max_norm`: on a GPU the CPU would have to wait for the answer.
    torch._foreach_mul_(gradients, (max_norm / (norm + 1e-6)).clamp(max=1.0))
    return norm


# -- the range test ----------------------------------------------------------------------------------------------------

Loss = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor]


def lr_range_test(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_fn: Loss,
    batches: Sequence[Batch],
    lr_min: float = 1e-5,
    lr_max: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    diverge: float = 4.0,
) -> tuple[list[float], list[float]]:
    """Train at rates that grow from lr_min to lr_max; returns the rates and the smoothed losses that were met.

    Ends early once a smoothed loss exceeds `diverge` times the smallest before it (that one is kept), or a loss is not
    finite (which is not). Model and optimizer are as before when it ends, also by an error.
    """
    kept_model, kept_optimizer = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    modes = {module: module.training for module in model.modules()}
    gradients = [(p, p.grad) for p in model.parameters()]
    growth = (lr_max / lr_min) ** (1 / (steps - 1))
    rates: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    try:
        model.train()
        for step, (x, y) in enumerate(itertools.islice(itertools.cycle(batches), steps)):
            lr = lr_min * growth**step
            for group in optimizer.param_groups:
                group["lr"] = lr
            loss = loss_fn(model(x), y)
            if not torch.isfinite(loss):
                break
            average = smoothing * average + (1 - smoothing) * loss.item()
            smoothed.append(average / (1 - smoothing ** (step + 1)))  # the average began at zero: undo its pull
            rates.append(lr)
            if smoothed[-1] > diverge * min(smoothed):
                break
            model.zero_grad(set_to_none=True)  # so that the tensors of the gradients from before stay as they are
            loss.backward()
            optimizer.step()
    finally:
        model.load_state_dict(kept_model)
        optimizer.load_state_dict(kept_optimizer)
        for module, mode in modes.items():
            module.training = mode
        for p, gradient in gradients:
            p.grad = gradient
    return rates, smoothed


def suggest_lr(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the loss falls steepest against the logarithm of the rate, by central differences.

    Raises ValueError if it falls nowhere, or there are fewer than three points.
    """
    slopes = [
        (losses[i + 1] - losses[i - 1]) / (math.log(rates[i + 1]) - math.log(rates[i - 1]))
        for i in range(1, len(rates) - 1)
    ]
    if not slopes or min(slopes) >= 0:
        raise ValueError("the loss falls nowhere: begin at a smaller rate, or take more steps")
    return rates[1 + slopes.index(min(slopes))]


# -- a training run ----------------------------------------------------------------------------------------------------


def train(
    model: nn.Module,
    images: Tensor,  # n 3 h w
    labels: Tensor,  # n
    epochs: int,
) -> dict[str, list[float]]:
    """Train for `epochs` passes over the images; returns loss and learning rate of every step."""
    batch_size, max_lr = 40, 0.1
    optimizer = torch.optim.SGD(model.parameters(), lr=max_lr, nesterov=True, momentum=0.9, weight_decay=5e-3)
    total_steps = epochs * math.ceil(len(images) / batch_size)
    history: dict[str, list[float]] = {"loss": [], "lr": []}
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images), device=images.device).split(batch_size):
            set_one_cycle(optimizer, len(history["lr"]), total_steps, max_lr)
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            history["loss"].append(loss.item())
            history["lr"].append(optimizer.param_groups[0]["lr"])
    return history
