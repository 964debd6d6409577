from __future__ import annotations

import statistics
from itertools import pairwise

import pytest
import torch

from gradekit import check
from gradekit.check import AuthoringError, CheckFailed, Outcome
from gradekit.check.cases import run_seed

SEEDS = [run_seed(run) for run in range(3)]


def guess(guess_labels, x):
    return guess_labels(x)


def inputs(rng, device):
    x = check.normal(rng, 200, device=device)
    return {"x": x, "hidden_labels": (x > 0).long()}


def accuracy(outputs, given):
    return (outputs == given["hidden_labels"]).double().mean()


class Scripted:
    """Gives the scores and seconds it is told to, one after the other, and again from the first."""

    def __init__(self, scores, seconds=()):
        self.scores, self.seconds, self.seeds = list(scores), list(seconds), []

    def call(self, experiment, inputs, *, timed=False, record=False, watch=False, seed=0):
        run = len(self.seeds) % len(self.scores)
        self.seeds.append(seed)
        return Outcome(self.scores[run], self.seconds[run] if self.seconds else 0.1)

    def identity(self, experiment, inputs):
        return (self,)


def scripted(outputs, given):
    return outputs


def test_the_score_sees_labels_that_the_student_does_not(answer):
    env = answer("def guess_labels(x): return (x > 0).long()")
    check.outcome(guess, env, inputs, score=accuracy, at_least=0.99, seconds=30)
    env = answer("def guess_labels(x): return (x > 0.3).long()")
    with pytest.raises(CheckFailed, match=r"the score is .*: 0\.99 is needed\. The runs scored 0\.\d+, 0\.\d+, 0\.\d+"):
        check.outcome(guess, env, inputs, score=accuracy, at_least=0.99, seconds=30)
    with pytest.raises(CheckFailed):
        check.outcome(
            guess,
            answer("def guess_labels(x, hidden_labels=None): return hidden_labels"),
            inputs,
            score=accuracy,
            at_least=0.1,
            seconds=30,
        )


def test_a_busy_machine_does_not_use_up_the_time():
    slow_by_neighbours = Outcome(1.0, 90.0, processor_s=2.0)
    slow_by_itself = Outcome(1.0, 90.0, processor_s=88.0)

    class Told(Scripted):
        def call(self, experiment, inputs, **options):
            return self.scores[0]

    check.outcome(guess, Told([slow_by_neighbours]), inputs, score=scripted, at_least=0.5, seconds=30)
    with pytest.raises(CheckFailed, match=r"run 1 of 3 took 88 s: 30 s are allowed on a cpu"):
        check.outcome(guess, Told([slow_by_itself]), inputs, score=scripted, at_least=0.5, seconds=30)


def test_the_seed_of_a_run_tells_nothing_of_the_seed_of_the_inputs(monkeypatch):
    found = []
    for seed in range(200):
        monkeypatch.setenv("GRADEKIT_SEED", str(seed))
        found += [run_seed(run) for run in range(3)]
    assert len({*found}) == 600
    assert all(0 <= seed < 2**63 for seed in found)
    # neighbours have nothing in common: of 63 bits 31.5 differ on average, with a standard error of 0.16
    assert abs(statistics.fmean((a ^ b).bit_count() for a, b in pairwise(found)) - 31.5) < 1


def test_any_seed_of_a_grading_will_do(answer, monkeypatch):
    monkeypatch.setenv("GRADEKIT_SEED", str(16**15 - 1))  # as large as those that `gradekit grade` draws
    env = answer("def guess_labels(x): return (x > 0).long()")
    check.outcome(guess, env, inputs, score=accuracy, at_least=0.99, seconds=30)


def test_training_runs_on_one_thread(answer):
    env = answer("import torch\ndef guess_labels(x): return torch.tensor(float(torch.get_num_threads() == 1))")
    check.outcome(guess, env, inputs, score=scripted, at_least=1.0, seconds=30)


def test_each_seed_has_its_own_inputs_and_its_own_random_numbers(answer):
    seen = []
    for _ in range(2):
        env = answer("seen = []\ndef guess_labels(x): seen.append((x.clone(), torch.rand(1))); return 1.0")
        check.outcome(guess, env, inputs, score=scripted, at_least=0, seconds=30)
        seen += env["seen"]
    drawn, random = zip(*seen, strict=True)
    assert len({float(r) for r in random}) == 3
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[3])
    assert random[0] == random[3]


def test_the_verdict_is_on_mean_minus_sample_standard_deviation():
    scores = [0.90, 0.94, 0.98]
    border = statistics.fmean(scores) - statistics.stdev(scores)
    student = Scripted(scores)
    check.outcome(guess, student, inputs, score=scripted, at_least=border - 1e-9, seconds=1)
    assert student.seeds == SEEDS
    with pytest.raises(CheckFailed, match=r"0\.94 - 0\.04 = 0\.9 \(mean - std of 3 runs\): 0\.9 is needed"):
        check.outcome(guess, Scripted(scores), inputs, score=scripted, at_least=border + 1e-9, seconds=1)
    check.outcome(guess, Scripted([0.9]), inputs, score=scripted, at_least=0.9, seconds=1, seeds=1)


def test_one_run_over_time_fails_and_ends_the_check():
    student = Scripted([1.0] * 3, [0.5, 2.5, 0.5])
    with pytest.raises(CheckFailed, match=r"run 2 of 3 took 2\.5 s: 2 s are allowed on a cpu"):
        check.outcome(guess, student, inputs, score=scripted, at_least=0.5, seconds={"cpu": 2.0, "cuda": 1.0})
    assert student.seeds == SEEDS[:2]


def test_a_device_class_without_a_target_is_not_assessed_but_one_run_must_score(answer):
    with check.evidence.collect() as found:
        check.outcome(guess, Scripted([0.1]), inputs, score=scripted, at_least={"cuda": 0.9}, seconds={"cuda": 1.0})
        check.outcome(guess, Scripted([1.0] * 3), inputs, score=scripted, at_least=0.9, seconds={"cuda": 1.0})
    assert [e.verdict for e in found] == ["not assessed", "not assessed"]
    with pytest.raises(CheckFailed, match="guess_labels returned None"):
        check.outcome(
            guess, answer("def guess_labels(x): ..."), inputs, score=scripted, at_least={"cuda": 1}, seconds=1
        )


def test_a_diverged_or_unscorable_run_fails():
    with pytest.raises(CheckFailed, match="the score is nan: did the training diverge"):
        check.outcome(guess, Scripted([float("nan")]), inputs, score=scripted, at_least=0, seconds=1)
    with pytest.raises(CheckFailed, match="the outputs cannot be scored: ValueError"):
        check.outcome(guess, Scripted(["good"]), inputs, score=scripted, at_least=0, seconds=1)
    with pytest.raises(AuthoringError, match="at least one seed"):
        check.outcome(guess, Scripted([1]), inputs, score=scripted, at_least=0, seconds=1, seeds=0)


def test_evidence_holds_scores_and_times():
    with check.evidence.collect() as found:
        check.outcome(guess, Scripted([0.9, 0.8, 1.0]), inputs, score=scripted, at_least=0.5, seconds=1)
    data = found[0].data
    assert (data["scores"], data["times_s"], data["at_least"], data["seconds"]) == ([0.9, 0.8, 1.0], [0.1] * 3, 0.5, 1)
    assert data["mean"] == pytest.approx(0.9)
    assert data["std"] == pytest.approx(0.1)


def test_several_targets_share_their_runs():
    student = Scripted([0.8, 0.7, 0.9])
    check.outcome(guess, student, inputs, score=scripted, at_least=0.5, seconds=30)
    with pytest.raises(CheckFailed, match=r"0\.75 is needed\. The runs scored 0\.8, 0\.7, 0\.9"):
        check.outcome(guess, student, inputs, score=scripted, at_least=0.75, seconds=30)
    assert student.seeds == SEEDS
    with pytest.raises(CheckFailed, match=r"run 1 of 3 took 0\.1 s"):
        check.outcome(guess, student, inputs, score=scripted, at_least=0.5, seconds=0.05)
    assert student.seeds == SEEDS


def test_another_score_another_answer_or_another_grading_is_another_run(monkeypatch):
    student = Scripted([0.8, 0.7, 0.9])
    check.outcome(guess, student, inputs, score=scripted, at_least=0.5, seconds=30)
    check.outcome(guess, student, inputs, score=lambda outputs, given: 1.0, at_least=0.95, seconds=30)
    assert student.seeds == [*SEEDS, *SEEDS]
    other = Scripted([0.8, 0.7, 0.9])
    check.outcome(guess, other, inputs, score=scripted, at_least=0.5, seconds=30)
    assert other.seeds == SEEDS
    monkeypatch.setenv("GRADEKIT_SEED", "1")
    again = Scripted([0.8])
    check.outcome(guess, again, inputs, score=scripted, at_least=0.5, seconds=30)
    monkeypatch.setenv("GRADEKIT_SEED", "0")
    check.outcome(guess, again, inputs, score=scripted, at_least=0.5, seconds=30)
    assert again.seeds[3:] == SEEDS
    assert not {*again.seeds[:3]} & {*SEEDS}
