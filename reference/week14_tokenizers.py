"""Week 14 from scratch: byte-level BPE, skip-gram embeddings with their gradients, and a search over documents.

Training BPE looks like a loop over the corpus for every merge. It need not be: a merge changes only the words that hold
its pair, and in them only the pairs to the left and right of it. So the pieces are counted once; from then on the count
of every pair, and the set of words that may hold it, are kept up to date, and a heap says which pair is the most
frequent. An old entry in the heap, or a word that has lost its pair, is found out when it is met.

Encoding is a dictionary look-up for every piece that was met before. The merging itself is done once a piece, on a heap
and a linked list, so that a megabyte without a space takes seconds and not days.

Measured beside Hugging Face's tokenizers 0.23 (Rust, one thread, the same pattern) on the 375,000 characters of
`prose()`, time here / time there (2-core x86-64 CPU that other work kept busy, 2026-11-26; see benchmarks/):

    training      744 merges 0.97    3,744 merges 1.5    5,816 merges 1.7
    encoding      744 merges 0.37    3,744 merges 0.50
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Pair = tuple[int, int]

PIECE = re.compile(r" ?[^\W\d_]+| ?\d{1,3}| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
"""Letters, up to three digits, or other signs, with the space before them; or white space, but for its last sign."""


# -- training a tokenizer ----------------------------------------------------------------------------------------------


def train_bpe(text: str, vocab_size: int, special_tokens: Sequence[str] = ()) -> list[Pair]:
    """The merges of byte-level BPE in the order in which they are learned (Sennrich et al. 2016, arXiv:1508.07909).

    Merge i joins two ids into the id 256 + i; ids below 256 are bytes. The most frequent pair comes first, and of
    equally frequent ones the smallest (left id, then right id). It ends at vocab_size - 256 - len(special_tokens)
    merges, or where no pair occurs twice.
    """
    pieces: Counter[str] = Counter()
    for part in _splitter(special_tokens).split(text)[::2]:
        pieces.update(PIECE.findall(part))
    words = [list(piece.encode("utf-8", "surrogatepass")) for piece in pieces]
    repeats = list(pieces.values())

    count: defaultdict[Pair, int] = defaultdict(int)
    where: defaultdict[Pair, set[int]] = defaultdict(set)  # the words that hold a pair, or once did
    for index, word in enumerate(words):
        for pair in pairwise(word):
            count[pair] += repeats[index]
            where[pair].add(index)
    heap = [(-n, pair) for pair, n in count.items()]
    heapq.heapify(heap)

    merges: list[Pair] = []
    while heap and len(merges) < vocab_size - 256 - len(special_tokens):
        negative, pair = heapq.heappop(heap)
        if count.get(pair) != -negative:
            continue  # its count has changed since, and there is a newer entry
        if negative > -2:
            break
        new = 256 + len(merges)
        merges.append(pair)
        changes: defaultdict[Pair, int] = defaultdict(int)
        for index in where.pop(pair):
            _merge_in(words[index], pair, new, index, repeats[index], changes, where)
        for changed, n in changes.items():
            if n:
                count[changed] += n
                heapq.heappush(heap, (-count[changed], changed))
        del count[pair]
    return merges


def _merge_in(
    word: list[int],
    pair: Pair,
    new: int,
    index: int,
    n: int,
    changes: defaultdict[Pair, int],
    where: defaultdict[Pair, set[int]],
) -> None:
    """Put `new` in the place of every `pair` of a word that occurs n times, and note what it does to the neighbours."""
    a, b = pair
    i = 0
    while i < len(word) - 1:
        if word[i] != a or word[i + 1] != b:
            i += 1
            continue
        word[i : i + 2] = (new,)
        if i > 0:
            before = word[i - 1]
            changes[before, a] -= n
            changes[before, new] += n
            where[before, new].add(index)
        i += 1
        if i < len(word):
            after = word[i]
            changes[b, after] -= n
            changes[new, after] += n
            where[new, after].add(index)


def _splitter(special_tokens: Sequence[str]) -> re.Pattern[str]:
    """Splits text into ordinary parts (even places) and special tokens (odd ones), the longest where several begin."""
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")


# -- text to ids and back ----------------------------------------------------------------------------------------------


class Tokenizer:
    """Ids: 256 bytes, then the merges, then the special tokens, each in their order."""

    def __init__(self, merges: Sequence[Pair], special_tokens: Sequence[str] = ()) -> None:
        self.merges = {(a, b): 256 + i for i, (a, b) in enumerate(merges)}
        self.vocab = [bytes([i]) for i in range(256)]
        for a, b in merges:
            self.vocab.append(self.vocab[a] + self.vocab[b])
        self.special = {token: len(self.vocab) + i for i, token in enumerate(special_tokens)}
        self.vocab += [token.encode("utf-8", "surrogatepass") for token in special_tokens]
        self.splitter = _splitter(special_tokens)
        self.ids_of = lru_cache(maxsize=2**14)(self._ids_of)  # bounded, so that a stream may be endless

    def encode(self, text: str) -> list[int]:
        """The ids of a text. Special tokens in it become their one id."""
        ids: list[int] = []
        for place, part in enumerate(self.splitter.split(text)):
            if place % 2:
                ids.append(self.special[part])
            else:
                ids.extend(chain.from_iterable(map(self.ids_of, PIECE.findall(part))))
        return ids

    def encode_stream(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids that `encode` gives for all chunks together, in the memory that one chunk and one piece need."""
        held = ""
        for chunk in chunks:
            held += chunk
            end = self._final(held)
            yield from self.encode(held[:end])
            held = held[end:]
        yield from self.encode(held)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; U+FFFD where their bytes are no text, as in the middle of a character."""
        data = b"".join([self.vocab[i] for i in ids])
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return data.decode("utf-8", "replace")

    def _final(self, text: str) -> int:
        """How much of a text is cut into the same pieces whatever follows.

        Where a piece ends depends on the sign after it, or, after white space, on the next but one; and on whether a
        special token begins there.
        """
        margin, end = 1 + max(map(len, self.special), default=0), 0
        for place, part in enumerate(self.splitter.split(text)):
            for piece in [part] if place % 2 else PIECE.findall(part):
                if end + len(piece) + margin > len(text):
                    return end
                end += len(piece)
        return end

    def _ids_of(self, piece: str) -> list[int]:
        """The ids of one piece: of the pairs that can be merged the one learned first, from left to right.

        A heap has what may be merged, and links lead to what is left on either side, so n bytes take n log n steps.
        """
        ids = list(piece.encode("utf-8", "surrogatepass"))
        merges, n = self.merges, len(ids)
        heap = [(merges[pair], i, pair) for i, pair in enumerate(pairwise(ids)) if pair in merges]
        heapq.heapify(heap)
        before, after = list(range(-1, n - 1)), list(range(1, n + 1))
        while heap:
            new, i, (a, b) = heapq.heappop(heap)
            j = after[i]
            if ids[i] != a or j == n or ids[j] != b:
                continue  # one of the two has been merged since
            ids[i], ids[j] = new, -1
            after[i] = after[j]
            if after[i] < n:
                before[after[i]] = i
            for left, right in ((before[i], i), (i, after[i])):
                if left >= 0 and right < n and (pair := (ids[left], ids[right])) in merges:
                    heapq.heappush(heap, (merges[pair], left, pair))
        return [i for i in ids if i >= 0]


# -- skip-gram with negative sampling ----------------------------------------------------------------------------------


def skipgram_loss(
    w_in: Tensor,  # vocab dim
    w_out: Tensor,  # vocab dim
    centres: Tensor,  # batch
    contexts: Tensor,  # batch
    negatives: Tensor,  # batch k
) -> Tensor:  # batch
    """-log sigmoid(u_o . v_c) - sum log sigmoid(-u_n . v_c), one by one (Mikolov et al. 2013, arXiv:1310.4546)."""
    v, u, signs = _looked_up(w_in, w_out, centres, contexts, negatives)
    return F.softplus(signs * (u * v).sum(2)).sum(1)


def skipgram_gradients(
    dout: Tensor,  # batch
    w_in: Tensor,
    w_out: Tensor,
    centres: Tensor,
    contexts: Tensor,
    negatives: Tensor,
) -> tuple[Tensor, Tensor]:  # vocab dim, vocab dim
    """Gradients (dw_in, dw_out) of a loss whose gradient with respect to skipgram_loss is dout."""
    v, u, signs = _looked_up(w_in, w_out, centres, contexts, negatives)
    scores = (u * v).sum(2)  # batch 1+k
    dscores = (signs * torch.sigmoid(signs * scores) * dout[:, None])[:, :, None]
    dv = (dscores * u).sum(1)
    du = (dscores * v).flatten(0, 1)
    rows = torch.cat([contexts[:, None], negatives], 1).flatten()
    dw_in = torch.zeros_like(w_in).index_add_(0, centres, dv)  # a word that occurs twice collects from both
    return dw_in, torch.zeros_like(w_out).index_add_(0, rows, du)


def _looked_up(
    w_in: Tensor, w_out: Tensor, centres: Tensor, contexts: Tensor, negatives: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors of the centres (batch 1 dim), of contexts and negatives (batch 1+k dim); -1 for a context, 1 for others.

    F.embedding, and not w[rows]: it reads rows faster, and autograd's way back through it several times faster.
    """
    signs = w_in.new_ones(1 + negatives.shape[1])
    signs[0] = -1
    rows = torch.cat([contexts[:, None], negatives], 1)
    return F.embedding(centres, w_in)[:, None], F.embedding(rows, w_out), signs


# -- embeddings of words -----------------------------------------------------------------------------------------------

WORD = re.compile(r"[a-z_]+")


def words_of(text: str) -> list[str]:
    """Words in lower case; names with underscores stay whole."""
    return WORD.findall(text.lower())


def skipgram_pairs(ids: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """All (centre, context) that are at most `window` places apart in a document, in any order."""
    shifts = range(1, window + 1)
    centres = [part for k in shifts for part in (ids[k:], ids[:-k])]
    contexts = [part for k in shifts for part in (ids[:-k], ids[k:])]
    return torch.cat(centres), torch.cat(contexts)


def noise_distribution(counts: Tensor) -> Tensor:
    """Probabilities of negative samples: the counts to the power of 3/4, which gives rare words a better chance."""
    weights = counts**0.75
    return weights / weights.sum()


def embed(
    documents: Sequence[str], dim: int = 64, window: int = 5, epochs: int = 4, k: int = 5, lr: float = 0.03
) -> tuple[list[str], Tensor]:
    """Words that occur five times at least, the most frequent first, and a vector of each, trained on the documents."""
    texts = [words_of(text) for text in documents]
    counted = Counter(chain.from_iterable(texts))
    words = [word for word, n in counted.most_common() if n >= 5]
    numbers = {word: i for i, word in enumerate(words)}
    corpus = [torch.tensor([numbers[word] for word in text if word in numbers], dtype=torch.int64) for text in texts]
    counts = torch.tensor([float(counted[word]) for word in words])
    kept = (1e-3 * counts.sum() / counts).sqrt()  # the chance of a word to stay in an epoch: "the" is told often enough
    noise = noise_distribution(counts)
    w_in = ((torch.rand(len(words), dim) - 0.5) / dim).requires_grad_()
    w_out = torch.zeros(len(words), dim, requires_grad=True)
    optimizer = torch.optim.Adam([w_in, w_out], lr=lr)
    for epoch in range(epochs):
        thinned = [ids[torch.rand(len(ids)) < kept[ids]] for ids in corpus]
        pairs = [skipgram_pairs(ids, window) for ids in thinned]
        centres, contexts = (torch.cat(column) for column in zip(*pairs, strict=True))
        batches = torch.randperm(len(centres)).split(2048)
        for step, batch in enumerate(batches):
            optimizer.param_groups[0]["lr"] = lr * (1 - (epoch + step / len(batches)) / epochs)
            negatives = torch.multinomial(noise, len(batch) * k, replacement=True).view(-1, k)
            loss = skipgram_loss(w_in, w_out, centres[batch], contexts[batch], negatives).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return words, (w_in + w_out).detach()


# -- search ------------------------------------------------------------------------------------------------------------


def recall_at_k(rankings: Sequence[Sequence[str]], relevant: Sequence[Sequence[str]], k: int) -> float:
    """The share of a question's relevant documents that are among the first k, averaged over the questions."""
    shares = [len(set(r[:k]) & set(good)) / len(set(good)) for r, good in zip(rankings, relevant, strict=True)]
    return sum(shares) / len(shares)


def mean_reciprocal_rank(rankings: Sequence[Sequence[str]], relevant: Sequence[Sequence[str]]) -> float:
    """The mean of 1 / (place of the first relevant document, from 1); 0 where there is none."""
    total = 0.0
    for ranking, good in zip(rankings, relevant, strict=True):
        total += next((1 / place for place, title in enumerate(ranking, start=1) if title in good), 0.0)
    return total / len(rankings)


COMMON = set(
    words_of(
        "a an and are as at be by can do does for from how i if in is it my of on or that the to was what when where "
        "which who with"
    )
)


class Searcher:
    """Finds documents by parts of words: by BM25, and by nearness in the space that a truncated SVD leaves.

    Parts of three to five letters let `assign` meet `assignment`. The SVD of the documents (latent semantic analysis,
    Deerwester et al. 1990) lets parts meet that occur in like documents.
    """

    def __init__(self, documents: Mapping[str, str], dim: int = 40) -> None:
        self.titles = list(documents)
        counted = [parts_of(text) for text in documents.values()]
        held_by = Counter(chain.from_iterable(counted))
        self.columns = {part: i for i, part in enumerate(held_by)}
        counts = np.array([self._row(parts) for parts in counted])
        n, held, lengths = len(counted), np.array(list(held_by.values())), counts.sum(1, keepdims=True)
        # Okapi BM25 (Robertson and Zaragoza 2009): a part's weight saturates, and long documents are discounted
        saturated = counts * 2.2 / (counts + 1.2 * (0.25 + 0.75 * lengths / max(lengths.mean(), 1.0)))
        self.weights = np.log1p((n - held + 0.5) / (held + 0.5)) * saturated
        self.idf = np.log((n + 1) / (held + 1)) + 1
        scaled = _unit(np.log1p(counts) * self.idf)
        values, vectors = np.linalg.eigh(scaled @ scaled.T)  # the SVD of scaled, by the smaller of its two squares
        self.axes = _unit(vectors[:, values > 1e-9][:, -dim:].T @ scaled)
        self.vectors = _unit(scaled @ self.axes.T)

    def search(self, question: str, k: int = 10) -> list[str]:
        """The titles of the k documents that fit best, the best first."""
        counts = self._row(parts_of(question))
        literal = self.weights @ (counts > 0)
        meant = self.vectors @ _unit((np.log1p(counts) * self.idf) @ self.axes.T)
        scores = literal / max(literal.max(), 1e-9) + 0.5 * meant
        return [self.titles[i] for i in np.argsort(-scores, kind="stable")[:k]]

    def _row(self, parts: Counter[str]) -> np.ndarray:
        row = np.zeros(len(self.columns))
        for part, count in parts.items():
            if part in self.columns:
                row[self.columns[part]] = count
        return row


def parts_of(text: str) -> Counter[str]:
    """Three to five neighbouring letters of each word that is not too common, its ends marked."""
    parts: Counter[str] = Counter()
    for word, count in Counter(words_of(text)).items():
        marked = f"<{word}>"
        for n in (3, 4, 5) if word not in COMMON else ():
            for i in range(len(marked) - n + 1):
                parts[marked[i : i + n]] += count
    return parts


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)
