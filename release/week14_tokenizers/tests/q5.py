"""Tests of q5. Built from source/week14_tokenizers/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q5"
points = 3


def recall(recall_at_k, rankings, relevant, k):
    return float(recall_at_k(rankings, relevant, k))


def reciprocal_rank(mean_reciprocal_rank, rankings, relevant):
    return float(mean_reciprocal_rank(rankings, relevant))


@test_case(name='three rankings have the recall that one works out by hand', points=1, hidden=False)
def test_recall_by_hand(env):
    """three rankings have the recall that one works out by hand"""
    rankings, relevant = [["a", "b", "c"], ["c", "a", "b"], ["b", "c"]], [["b"], ["a", "b"], ["a"]]
    for k, want in ((1, 0.0), (2, 0.5), (3, 2 / 3), (10, 2 / 3)):
        got = check.run(recall, env, rankings=rankings, relevant=relevant, k=k)
        check.close(got, want, what=f"the recall at {k}")


@test_case(name='three rankings have the mean reciprocal rank that one works out by hand', points=1, hidden=False)
def test_reciprocal_rank_by_hand(env):
    """three rankings have the mean reciprocal rank that one works out by hand"""
    got = check.run(
        reciprocal_rank, env, rankings=[["a", "b", "c"], ["c", "a", "b"], ["b", "c"]], relevant=[["a"], ["b", "a"], ["a"]]
    )
    check.close(got, 0.5, what="the mean of 1, 1/2 and 0")


def found(Searcher, documents, questions, k):
    searcher = Searcher(documents)
    return [[str(title) for title in searcher.search(question, k)] for question in questions]


@test_case(name='of three documents the right one comes first', points=1, hidden=False)
def test_search(env):
    """of three documents the right one comes first"""
    documents = {
        "weather": "Rain falls from clouds. It rains often in autumn, and snow falls in winter.",
        "bread": "Flour, water and salt make a dough; an oven makes it bread.",
        "chess": "The queen moves in straight lines, the knight jumps over other pieces.",
    }
    questions = ["When does snow fall?", "How do I bake bread in an oven?", "May a knight jump over a queen?"]
    got = check.run(found, env, documents=documents, questions=questions, k=3)
    check.close([ranking[0] for ranking in got], ["weather", "bread", "chess"], what="the titles that come first")
    check.close([sorted(ranking) for ranking in got], [sorted(documents)] * 3, what="the titles that come, sorted")
