"""Tests of q2. Built from source/week14_tokenizers/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q2"
points = 4


def encoded(Tokenizer, merges, special_tokens, text):
    return [int(i) for i in Tokenizer(merges, special_tokens).encode(text)]


def decoded(Tokenizer, merges, special_tokens, ids):
    return [ord(sign) for sign in Tokenizer(merges, special_tokens).decode(ids)]


LOW = [(108, 111), (256, 119), (32, 257), (258, 101)]  # lo, low, " low", " lowe"


@test_case(name='a few words give the ids that one works out by hand', points=1, hidden=False)
def test_ids_by_hand(env):
    """a few words give the ids that one works out by hand"""
    for text, ids in (
        ("low lower slow", [257, 259, 114, 32, 115, 257]),
        ("lo  low", [256, 32, 258]),
        ("é\n", [195, 169, 10]),
        ("", []),
    ):
        check.close(check.run(encoded, env, merges=LOW, special_tokens=[], text=text), ids, what=f"the ids of {text!r}")
    ids = check.run(encoded, env, merges=[(98, 99), (97, 98), (97, 256)], special_tokens=[], text="abc")
    check.close(ids, [258], what="the ids of 'abc', where bc was learned before ab")


def there_and_back(Tokenizer, merges, special_tokens, text):
    tokenizer = Tokenizer(merges, special_tokens)
    return [ord(sign) for sign in tokenizer.decode(tokenizer.encode(text))]


@test_case(name='a text comes back as it was, and what is no text becomes U+FFFD', points=1, hidden=False)
def test_texts_come_back(env):
    """a text comes back as it was, and what is no text becomes U+FFFD"""
    for text in ("low lower\tlowest\r\n", "Grüße, 世界 🙂\x00!", "half a pair: \ud83d"):
        got = check.run(there_and_back, env, merges=LOW, special_tokens=[], text=text)
        check.close(got, [ord(sign) for sign in text], what=f"the characters of {text!r} that come back")
    got = check.run(decoded, env, merges=LOW, special_tokens=[], ids=[257, 240, 159, 153])
    check.close(got, [ord(sign) for sign in "low\ufffd"], what="the characters of an emoji without its last byte")


@test_case(name='a special token is one id, after the merges; of two that begin alike the longer one counts', points=1, hidden=False)
def test_special_ids(env):
    """a special token is one id, after the merges; of two that begin alike the longer one counts"""
    special = ["<|end|>", "<|end|>!"]
    got = check.run(encoded, env, merges=LOW, special_tokens=special, text="low<|end|> low<|end|>!!")
    check.close(got, [257, 260, 258, 261, 33], what="the ids of 'low<|end|> low<|end|>!!'")
    got = check.run(decoded, env, merges=LOW, special_tokens=special, ids=got)
    check.close("".join(map(chr, got)), "low<|end|> low<|end|>!!", what="the text of these ids")


def chunks_read(Tokenizer, merges, special_tokens, chunk, times):
    read = []

    def chunks():
        for number in range(times):
            read.append(number)
            yield chunk

    stream = Tokenizer(merges, special_tokens).encode_stream(chunks())
    first = next(iter(stream))
    return int(first), len(read)


@test_case(name='the first id of a stream is there before the last chunks are read', points=1, hidden=False)
def test_stream_is_lazy(env):
    """the first id of a stream is there before the last chunks are read"""
    first, read = check.run(chunks_read, env, merges=LOW, special_tokens=["<|end|>"], chunk="low lower ", times=100)
    check.close(first, 257, what="the first id")
    if read > 10:
        raise check.CheckFailed(f"{read} of 100 chunks were read before the first id came: yield what is certain at once")
