"""What the fork server loads: what a bundle needs, and nothing of its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradekit.grade.bundle import Bundle
from gradekit.grade.warm import modules

COMPILER, DIGITS = "torch._dynamo", "sklearn.datasets"


def bundle(folder: Path, *, cell: str = "", test: str = "", reference: str = "") -> Bundle:
    (folder / "tests").mkdir()
    (folder / "files" / "reference").mkdir(parents=True)
    (folder / "tests" / "q1.py").write_text(test)
    (folder / "files" / "reference" / "week.py").write_text(reference)
    cells = ({"kind": "given", "source": cell}, {"kind": "answer", "source": "import secrets"})
    return Bundle("week", {"q1": 1.0}, folder, "0", cells)


def test_a_plain_week_takes_neither_the_compiler_nor_scikit_learn(tmp_path: Path) -> None:
    found = modules(bundle(tmp_path, cell="x.requires_grad_()", test="check.accuracy(f, env, reference, inputs)"))
    assert not {COMPILER, DIGITS} & set(found)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("cell", "optimizer = torch.optim.SGD(parameters, 0.1)"),
        ("test", "check.rules(experiment, env, forbid=['aten::conv2d'])"),
        ("test", "check.memory(experiment, env, reference)"),
        ("reference", "loss.backward(dout)"),
        ("reference", "(gradient,) = torch.autograd.grad(loss, x, dout)"),
    ],
)
def test_whoever_mentions_what_imports_the_compiler_gets_it(tmp_path: Path, place: str, text: str) -> None:
    assert COMPILER in modules(bundle(tmp_path, **{place: text}))


def test_the_digits_come_with_scikit_learn(tmp_path: Path) -> None:
    assert DIGITS in modules(bundle(tmp_path, test="from gradekit.data import digits"))


def test_what_the_release_imports_is_loaded_and_nothing_that_only_tests_import(tmp_path: Path) -> None:
    found = modules(
        bundle(tmp_path, cell="import einops\nfrom os import path", test="import colorsys", reference="import wave")
    )
    assert {"einops", "os"} <= set(found)
    assert not {"colorsys", "wave", "secrets", "reference", "week"} & set(found)


def test_a_cell_that_is_no_python_is_passed_over(tmp_path: Path) -> None:
    assert modules(bundle(tmp_path, cell="%matplotlib inline"))
