"""Tests of q1. Built from source/week14_tokenizers/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q1"
points = 4


def merges_of(train_bpe, text, vocab_size, special_tokens):
    return [(int(left), int(right)) for left, right in train_bpe(text, vocab_size, special_tokens)]


@test_case(name='the text of the figure gives the four merges of the figure', points=2, hidden=False)
def test_by_hand(env):
    """the text of the figure gives the four merges of the figure"""
    text = "low lower lowest low"
    got = check.run(merges_of, env, text=text, vocab_size=300, special_tokens=[])
    check.close(got, [(108, 111), (256, 119), (32, 257), (258, 101)], what="the list of merges")
    got = check.run(merges_of, env, text=text, vocab_size=258, special_tokens=[])
    check.close(got, [(108, 111), (256, 119)], what="the list of merges for vocab_size=258")


@test_case(name='of equally frequent pairs the smallest comes first, and a pair may overlap itself', points=1, hidden=False)
def test_ties(env):
    """of equally frequent pairs the smallest comes first, and a pair may overlap itself"""
    got = check.run(merges_of, env, text="cd ab cd ab", vocab_size=300, special_tokens=[])
    check.close(got, [(32, 97), (99, 100), (256, 98)], what="the merges of 'cd ab cd ab'")
    got = check.run(merges_of, env, text="aaa aaa", vocab_size=300, special_tokens=[])
    check.close(got, [(97, 97), (256, 97)], what="the merges of 'aaa aaa'")


@test_case(name='a special token is no text, and takes one id of the vocabulary', points=1, hidden=False)
def test_special_by_hand(env):
    """a special token is no text, and takes one id of the vocabulary"""
    text = "ab<|end|>ab<|end|>ab"
    got = check.run(merges_of, env, text=text, vocab_size=300, special_tokens=["<|end|>"])
    check.close(got, [(97, 98)], what="the merges of 'ab<|end|>ab<|end|>ab'")
    got = check.run(merges_of, env, text="low lower lowest low", vocab_size=260, special_tokens=["<|end|>", "<|pad|>"])
    check.close(got, [(108, 111), (256, 119)], what="the merges for vocab_size=260 with two special tokens")
