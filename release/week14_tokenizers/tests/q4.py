"""Tests of q4. Built from source/week14_tokenizers/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q4"
points = 3


def sorted_pairs(skipgram_pairs, ids, window):
    centres, contexts = skipgram_pairs(ids, window)
    return sorted((int(centre), int(context)) for centre, context in zip(centres, contexts, strict=True))


def probabilities(noise_distribution, counts):
    return noise_distribution(counts)


@test_case(name='four words have the pairs that one works out by hand', points=1, hidden=False)
def test_pairs_by_hand(env):
    """four words have the pairs that one works out by hand"""
    got = check.run(sorted_pairs, env, ids=torch.tensor([7, 3, 3, 9]), window=1)
    check.close(got, [(3, 3), (3, 3), (3, 7), (3, 9), (7, 3), (9, 3)], what="the pairs of 7 3 3 9 for window=1, sorted")
    got = check.run(sorted_pairs, env, ids=torch.tensor([7, 3, 9]), window=2)
    check.close(got, [(3, 7), (3, 9), (7, 3), (7, 9), (9, 3), (9, 7)], what="the pairs of 7 3 9 for window=2, sorted")


@test_case(name='counts of 16, 1 and 81 give the shares that one works out by hand', points=1, hidden=False)
def test_noise_by_hand(env):
    """counts of 16, 1 and 81 give the shares that one works out by hand"""
    got = check.run(probabilities, env, counts=torch.tensor([16.0, 1.0, 81.0]))
    check.close(got, torch.tensor([8.0, 1.0, 27.0]) / 36, what="the probabilities")


def words_and_vectors(embed, documents):
    words, vectors = embed(documents)
    return list(words), vectors


def require_vectors(words, vectors, expected):
    """Raise CheckFailed unless there is one vector of at most 64 numbers for each word that is expected."""
    check.close(sorted(words), sorted(expected), what="the words, sorted")
    check.close(str(vectors.dtype), "torch.float32", what="the dtype of the vectors")
    if vectors.ndim != 2 or len(vectors) != len(words) or vectors.shape[1] > 64:
        raise check.CheckFailed(f"the vectors have shape {tuple(vectors.shape)}: expected ({len(words)}, 64 at most)")
    if not bool(vectors.isfinite().all()):
        raise check.CheckFailed("some numbers of the vectors are not finite")


@test_case(name='every word that occurs five times has a vector of up to 64 numbers, and no other word has', points=1, hidden=False)
def test_words(env):
    """every word that occurs five times has a vector of up to 64 numbers, and no other word has"""
    documents = ["the cat and the dog. " * 60, "The dog and A CAT! " * 40, "once upon a time, " * 2 + "a __init__ " * 50 + "five " * 5 + "four " * 4]
    words, vectors = check.run(words_and_vectors, env, documents=documents)
    require_vectors(words, vectors, ["__init__", "a", "and", "cat", "dog", "five", "the"])
