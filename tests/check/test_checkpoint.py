"""Weights that were handed in: what is taken, what is refused and in which words, and what the score decides."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import types

import pytest
import torch
from safetensors.torch import save

from gradekit import check
from gradekit.check import AuthoringError, CheckFailed
from gradekit.check.weights import MOST_HEADER, read_weights

FILE = "network.safetensors"
RIGHT = {"line.weight": torch.tensor([[1.0, -1.0]]), "line.bias": torch.zeros(1)}
NETWORK = """
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(2, 1)
    def forward(self, x):
        return self.line(x)[:, 0]
"""


def labels_of(Network, weights, points):
    model = Network()
    model.load_state_dict(weights)
    return model.to(points.device).eval()(points) > 0


def points(rng, device):
    x = check.normal(rng, 200, 2, device=device)
    return {"points": x, "hidden_labels": x[:, 0] > x[:, 1]}


def accuracy(outputs, given):
    return (outputs == given["hidden_labels"]).double().mean()


@pytest.fixture(autouse=True)
def beside(tmp_path, monkeypatch):
    """The folder of the notebook."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judge(env, file=FILE, **changed):
    terms = {"score": accuracy, "at_least": 0.95, "seconds": 10, "most_bytes": 10_000} | changed
    check.checkpoint(labels_of, env, file, points, **terms)


def raw(header: object, numbers: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + numbers


def test_right_weights_pass_and_leave_their_figures(answer, beside):
    (beside / FILE).write_bytes(save(RIGHT))
    with check.evidence.collect() as found:
        judge(answer(NETWORK))
    (evidence,) = found
    assert evidence.verdict == "pass"
    assert evidence.data["scores"] == [1.0]
    assert (evidence.data["numbers"], evidence.data["bytes"]) == (3, len(save(RIGHT)))
    assert "network.safetensors scores 1; 0.95 is needed" in evidence.message


@pytest.mark.parametrize(
    "weights", [{key: 0 * value for key, value in RIGHT.items()}, {**RIGHT, "line.weight": torch.tensor([[-0.3, 0.7]])}]
)
def test_weights_that_were_not_trained_fail(answer, beside, weights):
    (beside / FILE).write_bytes(save(weights))
    with pytest.raises(CheckFailed, match=r"network\.safetensors scores 0\.\d+: 0\.95 is needed"):
        judge(answer(NETWORK))


def test_weights_of_another_network_fail_with_torchs_own_words(answer, beside):
    (beside / FILE).write_bytes(save({"other": torch.ones(2)}))
    with pytest.raises(CheckFailed, match="Missing key"):
        judge(answer(NETWORK))


def test_a_blank_answer_has_nothing(answer, beside):
    (beside / FILE).write_bytes(save(RIGHT))
    for blank in ("", "Network = ...", "def Network(): ..."):
        with pytest.raises(CheckFailed):
            judge(answer(blank))


def test_what_was_not_handed_in_is_told_with_what_to_do(answer):
    with check.evidence.collect() as found, pytest.raises(CheckFailed, match="was not handed in: save it beside the"):
        judge(answer(NETWORK))
    assert "was not handed in" in found[0].data["refused"]


def test_size_is_known_before_anything_is_read(answer, beside):
    with (beside / FILE).open("wb") as stream:
        stream.truncate(2**40)  # a sparse file: reading it would take more memory than there is
    with pytest.raises(CheckFailed, match=r"has 1,099,511,627,776 bytes: 10,000 are allowed"):
        judge(answer(NETWORK))


def test_only_a_regular_file_is_read(answer, beside):
    env = answer(NETWORK)
    (beside / "elsewhere").write_bytes(save(RIGHT))
    (beside / FILE).symlink_to(beside / "elsewhere")
    with pytest.raises(CheckFailed, match="is a link"):
        judge(env)
    (beside / FILE).unlink()
    os.mkfifo(beside / FILE)
    with pytest.raises(CheckFailed, match="is not a file"):
        judge(env)
    (beside / FILE).unlink()
    (beside / FILE).mkdir()
    with pytest.raises(CheckFailed, match="is not a file"):
        judge(env)
    (beside / FILE).rmdir()
    (beside / FILE).symlink_to("/dev/zero")
    with pytest.raises(CheckFailed, match="is a link"):
        judge(env)


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

REFUSED = {
    "empty": (b"", "not a whole safetensors file: it ends after 0 bytes"),
    "cut short in its header": (save(RIGHT)[:60], "it ends after 60 bytes, within its header"),
    "cut short in its numbers": (save(RIGHT)[:-4], r"is it whole\? \(.*not fully covered"),
    "longer than its header says": (save(RIGHT) + b"more", r"is it whole\?"),
    "a header of any length": (raw(b"{}", length=2**62), "begins with a header of 4,611,686,018,427,387,904 bytes"),
    "a long header": (raw(b" " * (MOST_HEADER + 1)), "begins with a header of 1,048,577 bytes"),
    "a header that is not JSON": (raw(b"{]"), r"is it whole\?"),
    "a header of nothing": (raw({}), "holds 0 tensors"),
    "a header that is nested": (raw(b'{"a":' + b"[" * 5000), r"is it whole\?"),
    "a shape that is not its size": (raw({"a": {**F32, "shape": [3]}}, bytes(8)), r"is it whole\?"),
    "a shape beyond all numbers": (raw({"a": {**F32, "shape": [2**62, 2**62]}}, bytes(8)), r"is it whole\?"),
    "numbers outside of the file": (raw({"a": {**F32, "data_offsets": [2**40, 2**40 + 8]}}, bytes(8)), "is it whole"),
    "two tensors in one place": (raw({"a": F32, "b": F32}, bytes(8)), r"is it whole\?"),
    "no numbers at all": (
        raw({"a": {"dtype": "F32", "shape": [0, 2**40], "data_offsets": [0, 0]}}),
        r"shape \(0, 1099511627776\)",
    ),
    "many dimensions": (raw({"a": {**F32, "shape": [2, *[1] * 60]}}, bytes(8)), "of shape"),
    "a dtype that is not taken": (save({"a": torch.ones(2, dtype=torch.float8_e4m3fn)}), "of dtype F8_E4M3: expected"),
    "a dtype that is none": (raw({"a": {**F32, "dtype": "OBJECT"}}, bytes(8)), r"is it whole\?"),
    "NaN": (save({"a": torch.tensor([1.0, float("nan")])}), "holds 'a' with NaN or infinity"),
    "infinity": (save({"a": torch.tensor([float("inf")], dtype=torch.bfloat16)}), "holds 'a' with NaN or infinity"),
    "too many": (save({str(n): torch.ones(1) for n in range(2049)}), "holds 2049 tensors"),
    "a name that steers a terminal": (
        save({"\x1b[2J": torch.tensor([float("nan")])}),
        "holds '\N{REPLACEMENT CHARACTER}",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_not_what_it_says_is_refused(what):
    data, said = REFUSED[what]
    with pytest.raises(CheckFailed, match=f"^{FILE}.*{said}"):
        read_weights(data, FILE)


class Attack:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_is_never_opened(answer, beside):
    torch.save(RIGHT, beside / "torch")
    for data in (pickle.dumps(Attack(), 2), pickle.dumps(Attack()), (beside / "torch").read_bytes()):
        (beside / FILE).write_bytes(data)
        with pytest.raises(CheckFailed, match=r"is a pickle.*safetensors\.torch\.save_file"):
            judge(answer(NETWORK))
    (beside / FILE).write_bytes(pickle.dumps(Attack(), 0))
    with pytest.raises(CheckFailed, match="begins with a header"):
        judge(answer(NETWORK))
    assert not (beside / "harm").exists()


def test_every_dtype_that_is_taken_comes_as_it_was_saved():
    kinds = [getattr(torch, name) for name in ("float64", "float32", "float16", "bfloat16", "int64", "int8", "uint8")]
    saved = {str(kind): torch.arange(6).reshape(2, 3).to(kind) for kind in kinds} | {"flag": torch.tensor(True)}
    found = read_weights(save(saved), FILE)
    assert found.keys() == saved.keys()
    for name, tensor in saved.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_a_flag_that_is_neither_0_nor_1_is_a_truth_value_all_the_same():
    found = read_weights(raw({"a": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}, b"\x00\x07"), FILE)
    assert found["a"].view(torch.uint8).tolist() == [0, 1]


def test_the_score_sees_labels_and_the_student_does_not(answer, beside):
    (beside / FILE).write_bytes(save(RIGHT))

    def labels_given(Network, weights, points):
        return Network(weights, points)

    env = answer("seen = []\ndef Network(*given): seen.append(given); return given[1][:, 0] > given[1][:, 1]")
    check.checkpoint(labels_given, env, FILE, points, score=accuracy, at_least=1.0, seconds=10, most_bytes=10_000)
    ((weights, given),) = env["seen"]
    assert weights.keys() == RIGHT.keys()
    assert given.shape == (200, 2)


def test_time_is_a_budget_and_a_device_without_a_target_is_not_assessed(answer, beside):
    (beside / FILE).write_bytes(save(RIGHT))
    with pytest.raises(CheckFailed, match=r"the run took .* s: 1e-09 s are allowed on a cpu"):
        judge(answer(NETWORK), seconds={"cpu": 1e-9})
    with check.evidence.collect() as found:
        judge(answer(NETWORK), at_least={"cuda": 1.0})
        judge(answer(NETWORK), seconds={"cuda": 1.0})
    assert [evidence.verdict for evidence in found] == ["not assessed", "not assessed"]
    (beside / FILE).unlink()
    with pytest.raises(CheckFailed, match="was not handed in"):
        judge(answer(NETWORK), at_least={"cuda": 1.0})


def test_authors_are_told_what_they_wrote_wrongly(answer, beside):
    (beside / FILE).write_bytes(save(RIGHT))
    env = answer(NETWORK)
    for file in ("../network.safetensors", "network.pt", ".safetensors", "a/b.safetensors"):
        with pytest.raises(AuthoringError, match="is no name for weights"):
            judge(env, file=file)
    for most in (0, 2**27):
        with pytest.raises(AuthoringError, match="most_bytes is"):
            judge(env, most_bytes=most)
    terms = {"score": accuracy, "at_least": 1.0, "seconds": 10, "most_bytes": 10_000}
    with pytest.raises(AuthoringError, match="takes no weights"):
        check.checkpoint(lambda Network, points: 0, env, FILE, points, **terms)
    with pytest.raises(AuthoringError, match="the inputs have 'weights'"):
        check.checkpoint(labels_of, env, FILE, lambda rng, device: {"weights": 1, "points": 2}, **terms)

    class Bare:
        def call(self, experiment, inputs, **options): ...
        def identity(self, experiment, inputs): ...

    with pytest.raises(AuthoringError, match="Bare has no files"):
        judge(Bare())


def test_a_module_is_a_subject_as_well(beside):
    (beside / FILE).write_bytes(save(RIGHT))
    module = types.ModuleType("reference_of_this_test")
    module.torch = torch
    exec(NETWORK, vars(module))
    judge(module)


def test_checks_that_read_no_weights_need_no_library_for_it():
    code = "import sys; sys.modules['safetensors'] = None; from gradekit import check; check.checkpoint"
    subprocess.run([sys.executable, "-c", code], check=True)
