"""What a function does, counted: floating-point operations, launches, calls, collectives."""

import re

import pytest
import torch

from gradekit import check
from gradekit.check import AuthoringError, CheckFailed, evidence

N = 8


def product(multiply, a, b):
    return multiply(a, b)


def square(rng, device):
    yield {"a": check.normal(rng, N, N, device=device), "b": check.normal(rng, N, N, device=device)}


def counted(answer, source, what, inputs=square):
    with evidence.collect() as found:
        check.counts(product, answer(source), inputs, at_most={what: 10**9})
    return found[0].data["cases"][0]["counts"][what]


@pytest.mark.parametrize(
    ("body", "what", "number"),
    [
        ("return a @ b", "flops", 2 * N**3),
        ("return (a @ b) @ b", "flops", 4 * N**3),
        ("return a + b", "flops", 0),
        ("return a + b", "launches", 1),
        ("return a.t().unsqueeze(0) + b", "launches", 1),
        ("return torch.stack([row * 2 for row in a])", "launches", N + 1),
        ("return torch.empty(3).zero_()", "launches", 1),
        ("return a @ b", "aten::mm", 1),
        ("return a @ b", "aten::add*", 0),
        ("return one(one(a))", "one", 2),
        ("return Thing().give(a)", "Thing.give", 1),
    ],
)
def test_each_thing_is_counted(answer, body, what, number):
    source = f"""
    def one(x): return x + 1
    class Thing:
        def give(self, x): return x
    def multiply(a, b):
        {body}
    """
    assert counted(answer, source, what) == number


def test_collectives_are_counted_and_waiting_is_none(answer):
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        source = """
        import torch.distributed as dist
        def multiply(a, b):
            total = a.clone()
            work = dist.all_reduce(total, async_op=True)
            work.wait()
            dist.broadcast(total, 0)
            dist.barrier()
            return total
        """
        assert counted(answer, source, "collectives") == 2
        assert counted(answer, source, "c10d::allreduce_*") == 1
    finally:
        dist.destroy_process_group()


def test_too_much_and_too_little_fail_with_both_numbers(answer):
    twice = answer("def multiply(a, b): return (a @ b) + (a @ b)")
    said = re.escape("takes 2,048 floating-point operations: at most 1,024 are asked for (for a (8, 8), b (8, 8))")
    with pytest.raises(CheckFailed, match=said):
        check.counts(product, twice, square, at_most={"flops": 2 * N**3})
    with pytest.raises(CheckFailed, match="takes 2 calls of aten::mm: at least 3 are asked for"):
        check.counts(product, twice, square, at_least={"aten::mm": 3})
    check.counts(product, twice, square, at_most={"flops": 4 * N**3, "aten::mm": 2}, at_least={"aten::mm": 2})


def test_numbers_may_be_multiples_of_the_references(answer):
    once, twice = (answer(f"def multiply(a, b): return {body}") for body in ("a @ b", "(a @ b) + (a @ b)"))
    check.counts(product, twice, square, at_most={"flops": 2.0}, times=once)
    with pytest.raises(CheckFailed, match=re.escape("at most 1,536, 1.5 times the reference's 1,024, are asked for")):
        check.counts(product, twice, square, at_most={"flops": 1.5}, times=once)


def test_every_case_counts(answer):
    def two(rng, device):
        for n in (2, 4):
            yield {"a": torch.ones(n, n), "b": torch.ones(n, n)}

    loops = answer("def multiply(a, b): return sum(row * 2 for row in a)")
    with pytest.raises(CheckFailed, match="8 operators"):
        check.counts(product, loops, two, at_most={"launches": 4})


def test_a_blank_and_work_in_a_thread_are_refused(answer):
    with pytest.raises(CheckFailed, match="multiply returned None"):
        check.counts(product, answer("def multiply(a, b): ..."), square, at_most={"flops": 1e9})
    hidden = answer("""
    import threading
    def multiply(a, b):
        out = []
        thread = threading.Thread(target=lambda: out.append(a @ b))
        thread.start(); thread.join()
        return out[0]
    """)
    with pytest.raises(CheckFailed, match="in a thread that it starts"):
        check.counts(product, hidden, square, at_most={"flops": 1})


def test_a_check_of_nothing_is_an_authors_mistake(answer):
    env = answer("def multiply(a, b): return a @ b")
    with pytest.raises(AuthoringError, match="one thing or more"):
        check.counts(product, env, square)
    with pytest.raises(AuthoringError, match="at least 0"):
        check.counts(product, env, square, at_most={"flops": -1})
