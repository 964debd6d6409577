"""Wrong and right answers to week 8, and what must happen to each."""

from gradekit.verify import Alternate, Equivalent, Mutant

# Test cases by what a kind of mistake reaches.
CYCLES = ("cycles of two*", "cycles of three*", "every group*")
BY_HAND = ("a linear cycle of ten*", "a linear cycle of three*")
CLIPPED = ("gradients of 3 and 4*", "with a norm_type*", "parameters without*", "norms of every*", "one tensor*")
WEIGHTS = ("the weights that were handed in get 85*", "the weights that were handed in get 92*")
CURVES = ("each rate is*", "rates and smoothed*")

MUTANTS = [
    # -- q1 --------------------------------------------------------------------------------------------------------
    Mutant(
        "final_div_factor of the largest rate",
        question="q1",
        why="the two factors look like a pair, and the plot shows no difference",
        fails={"q1": (*BY_HAND, *CYCLES)},
        replace={"min_lr = initial_lr / final_div_factor": "min_lr = max_lr / final_div_factor"},
    ),
    Mutant(
        "peak rounded",
        question="q1",
        why="a step is a whole number, so the peak is thought to be one",
        fails={"q1": ("cycles of two*", "cycles of three*", "every group*")},
        replace={"peak = pct_start * total_steps - 1": "peak = int(pct_start * total_steps) - 1"},
    ),
    Mutant(
        "steps counted from one",
        question="q1",
        why="pct_start of the steps is the peak, until one looks which number the first step has",
        fails={"q1": (*BY_HAND, "cosine and linear*", *CYCLES)},
        replace={"pct_start * total_steps - 1": "pct_start * total_steps"},
    ),
    Mutant(
        "the cycle ends one step late",
        question="q1",
        why="total_steps is taken for the last step",
        fails={"q1": (*BY_HAND, "cosine and linear*", *CYCLES)},
        replace={"path.append((total_steps - 1, min_lr": "path.append((total_steps, min_lr"},
    ),
    Mutant(
        "momentum goes with the rate",
        question="q1",
        why="both are thought to go up and come down",
        fails={"q1": (*BY_HAND, "cosine and linear*", *CYCLES)},
        replace={
            "(0, initial_lr, max_momentum), (peak, max_lr, base_momentum)": (
                "(0, initial_lr, base_momentum), (peak, max_lr, max_momentum)"
            )
        },
    ),
    Mutant(
        "momentum stays at its base at the end",
        question="q1",
        why="the second phase of the momentum is forgotten",
        fails={"q1": (*BY_HAND, "cosine and linear*", *CYCLES)},
        replace={"(total_steps - 1, min_lr, max_momentum)": "(total_steps - 1, min_lr, base_momentum)"},
    ),
    Mutant(
        "three phases like two",
        question="q1",
        why="the option is accepted, and does nothing",
        fails={"q1": ("a linear cycle of three*", "cycles of three*", "every group*")},
        replace={"    if three_phase:\n        path.append((2 * peak, initial_lr, max_momentum))\n": ""},
    ),
    Mutant(
        "the middle phase twice as long",
        question="q1",
        why="the second phase is made to end at 2 * pct_start * total_steps - 1",
        fails={"q1": ("a linear cycle of three*", "cycles of three*", "every group*")},
        replace={"(2 * peak, initial_lr": "(2 * peak + 1, initial_lr"},
    ),
    Mutant(
        "always linear",
        question="q1",
        why="the cosine is put off till later",
        fails={"q1": ("cosine and linear*", *CYCLES)},
        replace={"share = (1 - math.cos(math.pi * share)) / 2": "pass"},
    ),
    Mutant(
        "half a cosine",
        question="q1",
        why="1 - cos goes from 0 to 1 in a quarter of its period: fast at the end of each phase",
        fails={"q1": ("cosine and linear*", *CYCLES)},
        replace={"share = (1 - math.cos(math.pi * share)) / 2": "share = 1 - math.cos(math.pi * share / 2)"},
    ),
    Mutant(
        "nothing is refused",
        question="q1",
        why="the loop calls it with the right numbers",
        fails={"q1": "a step outside*"},
        replace={"if not 0 <= step < total_steps:": "if False:"},
    ),
    Mutant(
        "the last step refused",
        question="q1",
        why="an off-by-one in the check",
        fails={"q1": (*BY_HAND, "cosine and linear*", *CYCLES, "a step outside*")},
        replace={"if not 0 <= step < total_steps:": "if not 0 <= step < total_steps - 1:"},
    ),
    Mutant(
        "a schedule that remembers",
        question="q1",
        why="it counts its calls, as the library's does, and is right as long as it is called in order",
        fails={"q1": ("cycles of two*", "cycles of three*", "cosine and linear*", "a step outside*", "every group*")},
        define="""
_cycle = one_cycle
_calls = {}


def one_cycle(step, total_steps, *args, **options):
    if step == 0:
        _calls[total_steps] = -1
    _calls[total_steps] = _calls.get(total_steps, -1) + 1
    return _cycle(min(_calls[total_steps], total_steps - 1), total_steps, *args, **options)
""",
    ),
    Mutant(
        "the library's schedule",
        question="q1",
        why="it is one line, and right",
        fails={"q1": CYCLES},
        peer="torch's own",
        define="""
def one_cycle(step, total_steps, max_lr, **options):
    if not 0 <= step < total_steps:
        raise ValueError(step)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, total_steps=total_steps, **options)
    for _ in range(step):
        optimizer.step()
        schedule.step()
    return optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]
""",
    ),
    Mutant(
        "one rate for all groups",
        question="q1",
        why="most optimizers have a single group",
        fails={"q1": "every group*"},
        replace={
            "rates = max_lr if isinstance(max_lr, list) else [max_lr] * len(groups)": (
                "rates = [max_lr[0] if isinstance(max_lr, list) else max_lr] * len(groups)"
            )
        },
    ),
    Mutant(
        "Adam gets a momentum",
        question="q1",
        why="group['momentum'] = ... raises no error where there is no momentum, and changes nothing",
        fails={"q1": "every group*"},
        replace={'if "betas" in group:': "if False:"},
    ),
    Mutant(
        "both betas",
        question="q1",
        why="betas are two momenta, so both are set",
        fails={"q1": "every group*"},
        replace={'(momentum, *group["betas"][1:])': "(momentum, momentum)"},
    ),
    Mutant(
        "cycle_momentum ignored",
        question="q1",
        why="an option that nobody tries",
        fails={"q1": "every group*"},
        replace={"if cycle_momentum:": "if True:"},
    ),
    Mutant(
        "options not handed on",
        question="q1",
        why="the defaults are what one tries",
        fails={"q1": "every group*"},
        replace={"one_cycle(step, total_steps, rate, **options)": "one_cycle(step, total_steps, rate)"},
    ),
    # -- q2 --------------------------------------------------------------------------------------------------------
    Mutant(
        "each tensor by itself",
        question="q2",
        why="a loop over the parameters that clips each as it comes",
        fails={
            "q2": (
                "gradients of 3 and 4*",
                "with a norm_type*",
                "norms of every*",
                "infinite and NaN*",
                "speed*",
                "operators*",
            )
        },
        define="""
@torch.no_grad()
def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False):
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    norms = [torch.tensor(0.0)]
    for p in parameters:
        if p.grad is not None:
            norm = torch.linalg.vector_norm(p.grad, norm_type)
            if error_if_nonfinite and not norm.isfinite():
                raise RuntimeError
            p.grad.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0))
            norms.append(norm)
    return torch.linalg.vector_norm(torch.stack([n.to(norms[-1].dtype) for n in norms]), norm_type)
""",
    ),
    Mutant(
        "short gradients made longer",
        question="q2",
        why="the minimum with 1 is forgotten: every step has the same length",
        fails={"q2": ("gradients that are short*", "norms of every*")},
        replace={"factor.clamp(max=1.0)": "factor"},
    ),
    Mutant(
        "the sum of the norms",
        question="q2",
        why="the norms of the tensors are added up like numbers",
        fails={
            "q2": (
                "gradients of 3 and 4*",
                "with a norm_type*",
                "gradients that are short*",
                "norms of every*",
                "infinite and NaN*",
                "speed*",
                "operators*",
            )
        },
        replace={
            "norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, norm_type)), norm_type)": (
                "norm = torch.stack(torch._foreach_norm(gradients, norm_type)).sum()"
            )
        },
    ),
    Mutant(
        "always the Euclidean norm",
        question="q2",
        why="norm_type is accepted, and not used",
        fails={"q2": ("with a norm_type*", "norms of every*", "infinite and NaN*")},
        replace={
            "torch.stack(torch._foreach_norm(gradients, norm_type)), norm_type)": (
                "torch.stack(torch._foreach_norm(gradients, 2.0)), 2.0)"
            )
        },
    ),
    Mutant(
        "the 1e-6 left out",
        question="q2",
        why="a small number that only keeps a division from failing, or so it seems",
        fails={"q2": "norms of every*"},
        replace={"(norm + 1e-6)": "norm"},
    ),
    Mutant(
        "new gradients",
        question="q2",
        why="p.grad = p.grad * factor looks the same, and is another tensor",
        fails={"q2": ("gradients of 3 and 4*", "with a norm_type*", "norms of every*", "speed*", "operators*")},
        replace={
            "    gradients = [p.grad for p in parameters if p.grad is not None]\n": (
                "    parameters = list(parameters)\n"
                "    gradients = [p.grad for p in parameters if p.grad is not None]\n"
            ),
            "torch._foreach_mul_(gradients, factor.clamp(max=1.0))": (
                "scaled = iter(torch._foreach_mul(gradients, factor.clamp(max=1.0)))\n"
                "    for p in parameters:\n"
                "        if p.grad is not None:\n"
                "            p.grad = next(scaled)"
            ),
        },
    ),
    Mutant(
        "the norm after clipping",
        question="q2",
        why="it is computed last, so that it says what was achieved",
        fails={"q2": (*CLIPPED, "infinite and NaN*", "speed*", "operators*")},
        replace={
            "    return norm\n": (
                "    norms = torch._foreach_norm(gradients, norm_type)\n"
                "    return torch.linalg.vector_norm(torch.stack(norms), norm_type)\n"
            )
        },
    ),
    Mutant(
        "a generator walked through twice",
        question="q2",
        why="it works with a list",
        fails={"q2": "one tensor*"},
        replace={
            "    gradients = [p.grad for p in parameters if p.grad is not None]\n": (
                "    if all(p.grad is None for p in parameters):\n        return torch.tensor(0.0)\n"
                "    gradients = [p.grad for p in parameters if p.grad is not None]\n"
            )
        },
    ),
    Mutant(
        "missing gradients are an error",
        question="q2",
        why="every parameter of the first network has a gradient",
        fails={"q2": ("parameters without*", "one tensor*")},
        replace={"[p.grad for p in parameters if p.grad is not None]": "[p.grad for p in parameters]"},
    ),
    Mutant(
        "an error after the damage",
        question="q2",
        why="the check stands at the end",
        fails={"q2": "infinite and NaN*"},
        replace={
            "if error_if_nonfinite and not norm.isfinite():": "if False:",
            "    return norm\n": (
                "    if error_if_nonfinite and not norm.isfinite():\n        raise RuntimeError\n    return norm\n"
            ),
        },
    ),
    Mutant(
        "infinite is finite enough",
        question="q2",
        why="isnan is the check that one knows",
        fails={"q2": "infinite and NaN*"},
        replace={"not norm.isfinite()": "norm.isnan()"},
    ),
    Mutant(
        "NaN skipped on the quiet",
        question="q2",
        why="`if norm > max_norm` is false for NaN, and the NaN goes on into the weights of one tensor alone",
        fails={"q2": "infinite and NaN*"},
        replace={"    torch._foreach_mul_(": "    if norm > max_norm:\n        torch._foreach_mul_("},
    ),
    Mutant(
        "the library's clipping",
        question="q2",
        why="it is one line, and right",
        fails={"q2": ("norms of every*", "one tensor*", "speed*", "operators*")},
        peer="torch's own",
        define="""
from torch.nn.utils import clip_grad_norm_
""",
    ),
    Mutant(
        "a Python loop over the tensors",
        question="q2",
        why="the formula, tensor by tensor: right, and slow",
        fails={"q2": "operators*"},
        define="""
@torch.no_grad()
def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False):
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.tensor(0.0)
    norms = [torch.linalg.vector_norm(g, norm_type) for g in gradients]
    norm = torch.linalg.vector_norm(torch.stack(norms), norm_type)
    if error_if_nonfinite and not norm.isfinite():
        raise RuntimeError
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(factor)
    return norm
""",
    ),
    Mutant(
        "a Python loop that asks for numbers",
        question="q2",
        why="the formula by hand, with powers, sums and .item(): on a GPU each of them would also wait",
        fails={"q2": ("speed*", "operators*")},
        define="""
@torch.no_grad()
def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False):
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.tensor(0.0)
    norms = []
    for g in gradients:
        if norm_type == math.inf:
            norms.append(g.abs().max().unsqueeze(0)[0] + 0 * g.sum().item() if g.isfinite().all() else g.abs().max())
        else:
            norms.append(g.abs().pow(norm_type).sum().pow(1 / norm_type))
    norm = torch.linalg.vector_norm(torch.stack(norms), norm_type)
    if error_if_nonfinite and not math.isfinite(norm.item()):
        raise RuntimeError
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0).item()
    for g in gradients:
        g.copy_(g.clone() * factor)
    return norm
""",
    ),
]

MUTANTS += [
    # -- q3 --------------------------------------------------------------------------------------------------------
    Mutant(
        "rates evenly spaced",
        question="q3",
        why="linspace is the first thing that comes to mind",
        fails={"q3": CURVES},
        replace={
            "rate = lr_min * (lr_max / lr_min) ** (step / (steps - 1))": (
                "rate = lr_min + (lr_max - lr_min) * step / (steps - 1)"
            )
        },
    ),
    Mutant(
        "the last rate never tried",
        question="q3",
        why="steps for steps - 1",
        fails={"q3": CURVES},
        replace={"(step / (steps - 1))": "(step / steps)"},
    ),
    Mutant(
        "the average begins at zero",
        question="q3",
        why="the correction is left out: the curve seems to rise from the start",
        fails={"q3": (*CURVES, "it ends where*", "weights and*")},
        replace={"average / (1 - smoothing ** (step + 1))": "average"},
    ),
    Mutant(
        "the correction one step late",
        question="q3",
        why="step for step + 1",
        fails={"q3": (*CURVES, "it ends where*")},
        replace={"(1 - smoothing ** (step + 1))": "(1 - smoothing ** max(step, 1))"},
    ),
    Mutant(
        "the weights of the average swapped",
        question="q3",
        why="which of the two is the large one?",
        fails={"q3": ("rates and smoothed*", "it ends where*")},
        replace={
            "average = smoothing * average + (1 - smoothing) * loss.item()": (
                "average = (1 - smoothing) * average + smoothing * loss.item()"
            ),
            "(1 - smoothing ** (step + 1))": "(1 - (1 - smoothing) ** (step + 1))",
        },
    ),
    Mutant(
        "the raw losses",
        question="q3",
        why="smoothing is thought to be a matter of the figure",
        fails={"q3": ("rates and smoothed*", "it ends where*")},
        replace={"losses.append(average / (1 - smoothing ** (step + 1)))": "losses.append(loss.item())"},
    ),
    Mutant(
        "the rate is never set",
        question="q3",
        why="the rates are noted, and the optimizer is not told",
        fails={"q3": "rates and smoothed*"},
        replace={'group["lr"] = rate': "pass"},
    ),
    Mutant(
        "the model stays in evaluation mode",
        question="q3",
        why="model.train() is forgotten: right for models that are in training mode already",
        fails={"q3": "rates and smoothed*"},
        replace={"        model.train()\n": ""},
    ),
    Mutant(
        "each batch once",
        question="q3",
        why="a plain loop over the batches: too few steps where there are few batches",
        fails={"q3": (*CURVES, "it ends where*", "weights and*", "the test leaves*")},
        replace={"itertools.islice(itertools.cycle(batches), steps)": "itertools.islice(batches, steps)"},
    ),
    Mutant(
        "it never ends early",
        question="q3",
        why="the figure can be cut afterwards",
        fails={"q3": "it ends where*"},
        replace={"            if losses[-1] > diverge * min(losses):\n                break\n": ""},
    ),
    Mutant(
        "measured against the first loss",
        question="q3",
        why="an explosion is thought to be a loss above where it began",
        fails={"q3": "it ends where*"},
        replace={"diverge * min(losses)": "diverge * losses[0]"},
    ),
    Mutant(
        "the point of the explosion dropped",
        question="q3",
        why="the check stands before the note",
        fails={"q3": "it ends where*"},
        replace={
            "            if losses[-1] > diverge * min(losses):\n                break\n": (
                "            if losses[-1] > diverge * min(losses):\n                rates.pop()\n"
                "                losses.pop()\n                break\n"
            )
        },
    ),
    Mutant(
        "one step too many",
        question="q3",
        why="the check stands after the step, which is made at a rate that is known to be too high",
        fails={"q3": "it ends where*"},
        replace={
            "            if losses[-1] > diverge * min(losses):\n                break\n": "",
            "            optimizer.step()\n": (
                "            optimizer.step()\n"
                "            if losses[-1] > diverge * min(losses):\n                break\n"
            ),
        },
    ),
    Mutant(
        "NaN goes on",
        question="q3",
        why="a comparison with NaN is false, so nothing ends",
        fails={"q3": "it ends where*"},
        replace={"            if not loss.isfinite():\n                break\n": ""},
    ),
    Mutant(
        "state_dict taken for a copy",
        question="q3",
        why="it is a new dictionary, of the same tensors",
        fails={"q3": ("weights and*", "the test leaves*")},
        replace={"copy.deepcopy(model.state_dict())": "model.state_dict()"},
    ),
    Mutant(
        "a shallow copy",
        question="q3",
        why="dict.copy() copies the dictionary, and not what is in it",
        fails={"q3": ("weights and*", "the test leaves*")},
        replace={"copy.deepcopy(model.state_dict())": "model.state_dict().copy()"},
    ),
    Mutant(
        "parameters without buffers",
        question="q3",
        why="parameters() are what is trained; what batch normalisation counts is forgotten",
        fails={"q3": "the test leaves*"},
        replace={
            "copy.deepcopy(model.state_dict())": "[p.detach().clone() for p in model.parameters()]",
            "model.load_state_dict(kept_model)": (
                "for p, kept in zip(model.parameters(), kept_model):\n            p.data.copy_(kept)"
            ),
        },
    ),
    Mutant(
        "the optimizer's state stays",
        question="q3",
        why="only the model is thought of",
        fails={"q3": ("weights and*", "the test leaves*")},
        replace={"        optimizer.load_state_dict(kept_optimizer)\n": ""},
    ),
    Mutant(
        "the rate alone put back",
        question="q3",
        why="moments and the count of steps are forgotten",
        fails={"q3": "the test leaves*"},
        replace={
            "        optimizer.load_state_dict(kept_optimizer)\n": (
                "        for group, kept in zip(optimizer.param_groups, kept_optimizer['param_groups']):\n"
                "            group['lr'] = kept['lr']\n"
            )
        },
    ),
    Mutant(
        "one mode for all layers",
        question="q3",
        why="model.train(mode) sets every layer, also one that was frozen in evaluation mode",
        fails={"q3": "the test leaves*"},
        replace={"            layer.training = mode\n": "            layer.training = modes[0][1]\n"},
    ),
    Mutant(
        "gradients left behind",
        question="q3",
        why="they are set to zero before the next step anyway",
        fails={"q3": "the test leaves*"},
        replace={"            p.grad = gradient\n": "            pass\n"},
    ),
    Mutant(
        "cleans up only where all goes well",
        question="q3",
        why="the cleaning stands after the loop, and not in a finally",
        fails={"q3": "the test leaves*"},
        replace={"    finally:\n": "    except ZeroDivisionError:\n        raise\n    else:\n"},
    ),
    Mutant(
        "steepest over the rate",
        question="q3",
        why="the logarithm is only on the axis of the plot",
        fails={"q3": ("the suggestion is*", "on curves*")},
        replace={"torch.tensor(rates, dtype=torch.float64).log()": "torch.tensor(rates, dtype=torch.float64)"},
    ),
    Mutant(
        "the smallest loss",
        question="q3",
        why="the lowest point is what catches the eye, though there the loss has stopped falling",
        fails={"q3": ("the suggestion is*", "on curves*")},
        replace={"return rates[1 + int(slopes.argmin())]": "return rates[int(y.argmin())]"},
    ),
    Mutant(
        "one point too early",
        question="q3",
        why="the slopes begin at the second point, and the index is not moved along",
        fails={"q3": ("the suggestion is*", "on curves*")},
        replace={"return rates[1 + int(slopes.argmin())]": "return rates[int(slopes.argmin())]"},
    ),
    Mutant(
        "the slope to the next point",
        question="q3",
        why="a forward difference, which a single noisy batch decides",
        fails={"q3": ("the suggestion is*", "on curves*")},
        replace={
            "(y[2:] - y[:-2]) / (x[2:] - x[:-2])": "(y[1:] - y[:-1]) / (x[1:] - x[:-1])",
            "return rates[1 + int(slopes.argmin())]": "return rates[int(slopes.argmin())]",
        },
    ),
    Mutant(
        "a suggestion at any price",
        question="q3",
        why="argmin always has an answer",
        fails={"q3": "on curves*"},
        replace={
            '    if len(slopes) == 0 or slopes.min() >= 0:\n        raise ValueError("the loss falls nowhere")\n': ""
        },
    ),
    # -- q4 --------------------------------------------------------------------------------------------------------
    Mutant(
        "a constant rate",
        question="q4",
        why="the best constant rate that we found: what the cycle is for",
        fails={"q4": ("the learning rate goes up*", "five epochs bring the network to 69*")},
        replace={
            "batch_size, max_lr = 40, 0.1": "batch_size, max_lr = 40, 0.02",
            "            schedule.step()\n": "",
            'history["lr"].append(schedule.get_last_lr()[0])': 'history["lr"].append(max_lr)',
            "            optimizer.step()\n": (
                "            for group in optimizer.param_groups:\n"
                "                group['lr'], group['momentum'] = max_lr, 0.9\n            optimizer.step()\n"
            ),
        },
    ),
    Mutant(
        "a cycle for each epoch's number of steps",
        question="q4",
        why="schedule.step() stands in the loop over the epochs: the rate never leaves its first values",
        fails={"q4": ("the learning rate goes up*", "five epochs*")},
        replace={"            schedule.step()\n": "        schedule.step()\n"},
    ),
    Mutant(
        "a cycle ten times too long",
        question="q4",
        why="planned for fifty epochs and stopped after five: the rate never comes down",
        fails={"q4": ("the learning rate goes up*", "five epochs*")},
        replace={"total_steps=epochs * math.ceil": "total_steps=10 * epochs * math.ceil"},
    ),
    Mutant(
        "twice the budget",
        question="q4",
        why="more is better, and nobody counts",
        fails={"q4": ("no image is*", "five epochs*")},
        replace={
            "    batch_size, max_lr = 40, 0.1\n": "    epochs, batch_size, max_lr = 2 * epochs, 40, 0.1\n",
        },
    ),
    Mutant(
        "the loss of each epoch measured with gradients",
        question="q4",
        why="a pass over all images at the end, and no no_grad around it",
        fails={"q4": ("no image is*", "five epochs*")},
        replace={
            "    return history": "    print(nn.functional.cross_entropy(model(images), labels))\n    return history"
        },
    ),
    Mutant(
        "half of the images",
        question="q4",
        why="every other batch is left out, to be fast",
        fails={"q4": ("no image is*", "the learning rate goes up*", "five epochs*")},
        replace={".split(batch_size):": ".split(batch_size)[::2]:"},
    ),
    Mutant(
        "gradients are never set to zero",
        question="q4",
        why="the line is easily forgotten",
        fails={"q4": "five epochs*"},
        replace={"            optimizer.zero_grad()\n": ""},
    ),
    Mutant(
        "a rate a hundred times too large",
        question="q4",
        why="the range test is not read, or misread by two powers of ten",
        fails={"q4": ("on an easy*", "five epochs*")},
        replace={"batch_size, max_lr = 40, 0.1": "batch_size, max_lr = 40, 10.0"},
    ),
    Mutant(
        "one batch",
        question="q4",
        why="all images at once: five steps",
        fails={"q4": ("on an easy*", "five epochs*")},
        replace={"batch_size, max_lr = 40, 0.1": "batch_size, max_lr = len(images), 0.1"},
    ),
    Mutant(
        "another model",
        question="q4",
        why="a copy is trained, and the model that was handed over stays as it was",
        fails={"q4": ("on an easy*", "no image is*", "five epochs*")},
        replace={"    model.train()\n": "    model = copy.deepcopy(model).train()\n"},
    ),
    Mutant(
        "a list of losses alone",
        question="q4",
        why="the rates are forgotten",
        fails={"q4": ("on an easy*", "no image is*", "the learning rate goes up*")},
        replace={"return history": 'return history["loss"]'},
    ),
    Mutant(
        "rates in one list, losses by epoch in the other",
        question="q4",
        why="the loss of an epoch is what one plots",
        fails={"q4": "on an easy*"},
        replace={"return history": 'history["loss"] = history["loss"][::15]\n    return history'},
    ),
    # -- q6 --------------------------------------------------------------------------------------------------------
    Mutant(
        "another network than the one of the file",
        question="q6",
        why="the width is changed after the training",
        fails={"q6": WEIGHTS},
        replace={
            "convolution(3, 16, 2)": "convolution(3, 24, 2)",
            "Block(16, 32), Block(32, 64)": "Block(24, 48), Block(48, 96)",
            "nn.Linear(64, 10)": "nn.Linear(96, 10)",
        },
    ),
    Mutant(
        "the mean in place of the largest",
        question="q6",
        why="the usual end of a residual network, but not of the one that was trained",
        fails={"q6": WEIGHTS[1]},
        replace={".amax((2, 3))": ".mean((2, 3))"},
    ),
    Mutant(
        "normalised in training only",
        question="q6",
        why="the images of the training were shifted outside of the network, which now meets others",
        fails={"q6": ("ten scores*", *WEIGHTS)},  # the mean is that of a batch
        replace={"self.stem(x)": "self.stem(x - x.mean())"},
    ),
    Mutant(
        "softmax over the batch",
        question="q6",
        why="the wrong dimension: an image's scores depend on the others",
        fails={"q6": ("ten scores*", WEIGHTS[1])},
        replace={".amax((2, 3)))": ".amax((2, 3))).softmax(0)"},
    ),
    Mutant(
        "never in eval mode",
        question="q6",
        why="train() is called in forward, so that statistics come from the batch",
        fails={"q6": ("ten scores*",)},
        replace={"return self.scores(": "self.train()\n        return self.scores("},
    ),
    Mutant(
        "labels in place of scores",
        question="q6",
        why="the prediction is returned, of which there is one",
        fails={"q6": ("ten scores*", *WEIGHTS)},
        replace={".amax((2, 3)))": ".amax((2, 3))).argmax(1)"},
    ),
    Mutant(
        "the same scores for all",
        question="q6",
        why="scores of zero, ten of them",
        fails={"q6": ("ten scores*", *WEIGHTS)},
        replace={".amax((2, 3)))": ".amax((2, 3))) * 0"},
    ),
]

ALTERNATES = [
    Alternate(
        "phases from a table",
        question="q1",
        why="as the library writes it: a list of phases, and cosine and line as functions",
        define="""
def one_cycle(step, total_steps, max_lr, pct_start=0.3, anneal_strategy="cos", base_momentum=0.85, max_momentum=0.95,
              div_factor=25.0, final_div_factor=1e4, three_phase=False):
    between = {
        "cos": lambda a, b, t: b + (a - b) / 2 * (1 + math.cos(math.pi * t)),
        "linear": lambda a, b, t: (1 - t) * a + t * b,
    }
    if step not in range(total_steps) or anneal_strategy not in between:
        raise ValueError("no such step or strategy")
    start = max_lr / div_factor
    one = pct_start * total_steps - 1
    last = total_steps - 1
    phases = [(0.0, one, start, max_lr, max_momentum, base_momentum)]
    if three_phase:
        phases.append((one, 2 * one, max_lr, start, base_momentum, max_momentum))
        phases.append((2 * one, last, start, start / final_div_factor, max_momentum, max_momentum))
    else:
        phases.append((one, last, max_lr, start / final_div_factor, base_momentum, max_momentum))
    low, high, lr0, lr1, m0, m1 = next(phase for phase in phases if step <= phase[1])
    t = (step - low) / (high - low)
    return between[anneal_strategy](lr0, lr1, t), between[anneal_strategy](m0, m1, t)
""",
    ),
    Alternate(
        "a path to interpolate",
        question="q1",
        why="NumPy finds the phase, and the cosine bends the share of it",
        define="""
def one_cycle(step, total_steps, max_lr, pct_start=0.3, anneal_strategy="cos", base_momentum=0.85, max_momentum=0.95,
              div_factor=25.0, final_div_factor=1e4, three_phase=False):
    import numpy as np

    if step < 0 or step > total_steps - 1:
        raise ValueError("no such step")
    bend = {"linear": lambda t: t, "cos": lambda t: np.sin(np.pi * t / 2) ** 2}.get(anneal_strategy)
    if bend is None:
        raise ValueError("no such strategy")
    peak, low = pct_start * total_steps - 1, max_lr / div_factor
    corners = [0, peak, 2 * peak, total_steps - 1] if three_phase else [0, peak, total_steps - 1]
    rates = [low, max_lr, low, low / final_div_factor] if three_phase else [low, max_lr, low / final_div_factor]
    momenta = [max_momentum, base_momentum, max_momentum, max_momentum][: len(corners)]
    place = float(np.interp(step, corners, range(len(corners))))
    phase = min(int(place), len(corners) - 2)
    share = float(bend(place - phase))
    return tuple(float((1 - share) * v[phase] + share * v[phase + 1]) for v in (rates, momenta))
""",
    ),
    Alternate(
        "one long vector",
        question="q2",
        why="all gradients copied side by side: one norm, and no norm of norms",
        define="""
@torch.no_grad()
def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False):
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    gradients = [p.grad for p in parameters if p.grad is not None]
    if len(gradients) == 0:
        return torch.zeros(())
    total = torch.cat([g.reshape(-1) for g in gradients]).norm(norm_type)
    if error_if_nonfinite and (total.isnan() or total.isinf()):
        raise RuntimeError("not finite")
    torch._foreach_mul_(gradients, torch.minimum(max_norm / (total + 1e-6), torch.ones_like(total)))
    return total
""",
    ),
    Alternate(
        "noted by hand",
        question="q3",
        why="copies made and put back one by one, rates from geomspace, slopes in a loop",
        define="""
def lr_range_test(model, optimizer, loss_fn, batches, lr_min=1e-5, lr_max=10.0, steps=100, smoothing=0.9, diverge=4.0):
    import numpy as np

    tensors = [*model.parameters(), *model.buffers()]
    kept = [t.detach().clone() for t in tensors]
    state = copy.deepcopy(optimizer.state_dict())
    modes = {m: m.training for m in model.modules()}
    gradients = {p: None if p.grad is None else p.grad.clone() for p in model.parameters()}
    found = []
    best, ema, weight = math.inf, 0.0, 0.0
    model.train()
    try:
        for i, lr in enumerate(np.geomspace(lr_min, lr_max, steps).tolist()):
            x, y = batches[i % len(batches)]
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            value = float(loss)
            if not math.isfinite(value):
                break
            ema += (1 - smoothing) * (value - ema)
            weight += (1 - smoothing) * (1 - weight)
            found.append((lr, ema / weight))
            best = min(best, ema / weight)
            if ema / weight > diverge * best:
                break
            loss.backward()
            optimizer.step()
    finally:
        with torch.no_grad():
            for t, before in zip(tensors, kept):
                t.copy_(before)
        optimizer.load_state_dict(state)
        for m, mode in modes.items():
            m.training = mode
        for p, gradient in gradients.items():
            p.grad = gradient
    return [lr for lr, _ in found], [loss for _, loss in found]


def suggest_lr(rates, losses):
    best, where = 0.0, None
    for i in range(1, len(rates) - 1):
        slope = (losses[i + 1] - losses[i - 1]) / math.log10(rates[i + 1] / rates[i - 1])
        if slope < best:
            best, where = slope, i
    if where is None:
        raise ValueError("it falls nowhere")
    return rates[where]
""",
    ),
    Alternate(
        "AdamW, and a schedule of its own",
        question="q4",
        why="another optimizer, a linear rise and a cosine fall, smaller batches",
        define="""
def train(model, images, labels, epochs):
    size, peak = 32, 0.006
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.05)
    steps = epochs * -(-len(images) // size)
    history = {"loss": [], "lr": []}
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images), device=images.device).split(size):
            part = len(history["lr"]) / steps
            rise, fall = part / 0.25, 0.5 + 0.5 * math.cos(math.pi * (part - 0.25) / 0.75)
            rate = peak * (0.05 + 0.95 * rise if part < 0.25 else fall)
            optimizer.param_groups[0]["lr"] = rate
            x = images[batch]
            loss = nn.functional.cross_entropy(model(x), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history["loss"].append(float(loss))
            history["lr"].append(rate)
    return history
""",
    ),
    Alternate(
        "the schedule of q1",
        question="q4",
        why="the student's own one_cycle and clipping, smaller batches, and the incomplete last one left out",
        define="""
def train(model, images, labels, epochs):
    size = 32
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=4e-3)
    batches = len(images) // size
    history = {"loss": [], "lr": []}
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(images), device=images.device)[: batches * size].view(batches, size)
        for i, batch in enumerate(order):
            set_one_cycle(optimizer, epoch * batches + i, epochs * batches, 0.12)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            history["loss"].append(loss.item())
            history["lr"].append(optimizer.param_groups[0]["lr"])
    return history
""",
    ),
    Alternate(
        "a subclass of the network of q4",
        question="q6",
        why="a SmallResNet under another name, with a forward of its own",
        define="""
class Network(SmallResNet):
    def forward(self, x):
        for layer in (self.stem, nn.ReLU(), *self.blocks):
            x = layer(x)
        return self.scores(x.flatten(2).max(2).values)
""",
    ),
]

# Of what `gradekit verify` makes of the solution by itself.
CAUGHT_AT_LEAST = 0.95
EQUIVALENT = [
    Equivalent("q1", why="the order does not matter to `in`", replace={"'cos', 'linear'": "'linear', 'cos'"}),
    Equivalent(
        "q1",
        why="nobody is asked to refuse a list of another length",
        replace={"rates, strict=True)": "rates)", "strict=True": "strict=False"},
    ),
    Equivalent(
        "q3",
        why="float32 has digits enough for a curve",
        replace={"losses, dtype=torch.float64)": "losses)", "rates, dtype=torch.float64).log": "rates).log"},
    ),
    Equivalent(
        "q4",
        why="the recipe is free: all of these reach the target",
        replace={
            "40, ": ("41, ", "39, "),
            "0.1": "0.2",
            "nesterov=True, ": "",
            "nesterov=True": "nesterov=False",
            "0.005": "0.01",
            "nn.utils.clip_grad_norm_(model.parameters(), 5.0)": "pass",
            "5.0": "10.0",
        },
    ),
    Equivalent(
        "q4",
        why="the schedule sets rate and momentum before the first step",
        replace={"lr=max_lr, ": "", "momentum=0.9": "momentum=1.8"},
    ),
    Equivalent("q4", why="a new network is in training mode", replace={"model.train()": "pass"}),
    Equivalent("q4", why="on a CPU everything is there already", replace={".to(images.device)": ""}),
    Equivalent("q6", why="in which order the two sides are reduced", replace={"(2, 3)": "(3, 2)"}),
    Equivalent("q4", why="there is one group, which is the first and the last", replace={"[0]": "[-1]"}),
]
