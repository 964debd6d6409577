from __future__ import annotations

import numpy as np
import pytest
import torch

from gradekit import check
from gradekit.check import CheckFailed


def call(f, x):
    return f(x)


def shape_of(f, x):
    return f(x).shape


def twice(f, g, x):
    return f(x), g(x)


def test_outputs_come_back_as_plain_data(answer):
    env = answer("def f(x): return {'a': (x.requires_grad_() * 2, [1, 'b', None, True, 2.5, b'c'], np.ones(2))}")
    outputs = check.run(call, env, x=torch.ones(2))
    assert torch.equal(outputs["a"][0], torch.full((2,), 2.0))
    assert not outputs["a"][0].requires_grad
    assert outputs["a"][1] == [1, "b", None, True, 2.5, b"c"]
    assert isinstance(outputs["a"][2], np.ndarray)


def test_inputs_are_copied_first(answer):
    x = torch.ones(2)
    check.run(call, answer("def f(x): return x.zero_()"), x=x)
    assert torch.equal(x, torch.ones(2))


def test_an_input_may_be_called_env_or_experiment(answer):
    def named(f, env, experiment):
        return f(env, experiment)

    assert check.run(named, answer("def f(a, b): return a + b"), env=1, experiment=2) == 3


def test_a_missing_name_is_said_kindly(answer):
    with pytest.raises(CheckFailed, match=r"^f is not defined: run the cell that defines it$"):
        check.run(call, answer("g = 1"), x=1)


def test_a_placeholder_value_is_said_kindly(answer):
    with pytest.raises(CheckFailed, match=r"^f is still the placeholder `\.\.\.`: replace it with your answer$"):
        check.run(call, answer("f = ..."), x=1)


def test_a_placeholder_body_is_said_kindly(answer):
    env = answer("def f(x):\n    ...\ndef g(x):\n    ...")
    with pytest.raises(CheckFailed, match=r"^f returned None: is the body still the placeholder\?$"):
        check.run(call, env, x=1)
    with pytest.raises(CheckFailed, match=r"twice \(f, g\) returned None"):
        check.run(twice, env, x=1)
    with pytest.raises(CheckFailed, match=r"NoneType.*its body is still the placeholder"):
        check.run(shape_of, env, x=1)


def test_names_are_looked_up_at_the_time_of_the_call(answer):
    env = answer("def f(x): return 1")
    assert check.run(call, env, x=0) == 1
    env["f"] = lambda x: 2
    assert check.run(call, env, x=0) == 2


def test_an_exception_names_the_students_own_line(answer):
    env = answer("""
        def f(x):
            y = x + 1
            return helper(y)

        def helper(y):
            return y @ torch.ones(7)
    """)
    with pytest.raises(CheckFailed) as caught:
        check.run(call, env, x=torch.ones(2, 3))
    assert "in helper, line 7 of its cell: RuntimeError: " in str(caught.value)
    assert str(caught.value).endswith("return y @ torch.ones(7)")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("thrown", ["SystemExit('bye')", "AssertionError('no')", "Broken()", "RecursionError()"])
def test_whatever_the_student_raises_fails_the_check_and_nothing_else(answer, thrown):
    env = answer(f"""
        class Broken(Exception):
            def __str__(self):
                raise ValueError('broken')

        def f(x):
            raise {thrown}
    """)
    with pytest.raises(CheckFailed, match=thrown.split("(")[0]):
        check.run(call, env, x=1)


def test_global_settings_and_random_numbers_are_put_back(answer):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    env = answer("""
        def f(x):
            torch.manual_seed(1)
            torch.set_default_dtype(torch.float64)
            torch.set_grad_enabled(False)
            torch.set_num_threads(1)
            return torch.rand(2)
    """)
    check.run(call, env, x=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == threads


def test_one_call_draws_the_same_random_numbers_every_time(answer):
    env = answer("import random\ndef f(x): return torch.rand(2), np.random.rand(), random.random()")
    first, second = check.run(call, env, x=1), check.run(call, env, x=1)
    assert torch.equal(first[0], second[0])
    assert first[1:] == second[1:]
