"""Wrong and right answers to week 14, and what must happen to each."""

from gradekit.verify import Alternate, Equivalent, Mutant

HAND = ("the text of the figure*",)
TIES = ("of equally frequent*",)
TEXTS = ("prose, random letters*",)
SPEED = ("speed*",)

MUTANTS = [
    # -- q1 --------------------------------------------------------------------------------------------------------
    Mutant(
        "the largest of equal pairs",
        question="q1",
        why="max over (count, pair) breaks ties the other way",
        fails={"q1": (*HAND, *TIES, "a special token is no text*", *TEXTS, "special tokens may*", *SPEED)},
        replace={
            "heap = [(-n, pair) for pair, n": "heap = [(-n, (-pair[0], -pair[1])) for pair, n",
            "n, pair = heapq.heappop(heap)": "n, pair = heapq.heappop(heap)\n        pair = (-pair[0], -pair[1])",
            "heapq.heappush(heap, (-count[other], other))": (
                "heapq.heappush(heap, (-count[other], (-other[0], -other[1])))"
            ),
        },
    ),
    Mutant(
        "merges what occurs once",
        question="q1",
        why="stops when no pair is left, as many tutorials do",
        fails={"q1": (*HAND, *TIES, *TEXTS, "special tokens may*")},
        replace={"if -n < 2:": "if -n < 1:"},
    ),
    Mutant(
        "special tokens are text",
        question="q1",
        why="they are thought to be the encoder's business",
        fails={"q1": ("a special token is no text*", "special tokens may*")},
        replace={"if special_tokens:": "if False:"},
    ),
    Mutant(
        "special tokens take no ids",
        question="q1",
        why="the vocabulary is counted without them, and is too large in the end",
        fails={"q1": ("a special token is no text*", "special tokens may*")},
        replace={"vocab_size - 256 - len(special_tokens)": "vocab_size - 256"},
    ),
    Mutant(
        "special tokens as patterns",
        question="q1",
        why="'|'.join without re.escape: right until a token holds a sign that means something",
        fails={"q1": "special tokens may*"},
        replace={"re.escape(token)": "token"},
    ),
    Mutant(
        "the shorter of two special tokens",
        question="q1",
        why="alternatives of a pattern are tried in order, not by length",
        fails={"q1": "special tokens may*"},
        replace={"key=len, reverse=True": "key=len"},
    ),
    Mutant(
        "a pair once a piece",
        question="q1",
        why="a set of pairs for each piece: a piece that holds one twice counts once",
        fails={"q1": (*TEXTS, "special tokens may*", *SPEED)},
        replace={
            "for pair in pairwise(word):": "for pair in set(pairwise(word)):",
            "for other in pairwise(old):": "for other in set(pairwise(old)):",
            "for other in pairwise(new):": "for other in set(pairwise(new)):",
        },
    ),
    Mutant(
        "from right to left",
        question="q1",
        why="a loop over indices that runs backwards, so that deleting does not move what is to come",
        fails={"q1": (*TIES, *TEXTS, *SPEED)},
        may_fail="special tokens may hold*",  # random text: a pair overlaps itself there, or it does not
        define="""
def replaced(ids, pair, new):
    ids = list(ids)
    i = len(ids) - 2
    while i >= 0:
        if (ids[i], ids[i + 1]) == pair:
            ids[i : i + 2] = [new]
            i -= 1
        i -= 1
    return ids
""",
    ),
    Mutant(
        "every piece counts once",
        question="q1",
        why="the different pieces are collected, and how often they occur is forgotten",
        fails={"q1": (*TIES, "a special token is no text*", *TEXTS, "special tokens may*", *SPEED)},
        replace={"times = list(pieces.values())": "times = [1] * len(words)"},
    ),
    Mutant(
        "no pieces",
        question="q1",
        why="the pattern is left out: merges run across words",
        fails={"q1": "*"},
        replace={"pieces.update(PIECE.findall(part))": "pieces.update([part])"},
    ),
    Mutant(
        "characters for bytes",
        question="q1",
        why="ord is a number too, and for English it is the same",
        fails={"q1": (*TEXTS, *SPEED)},
        replace={'list(piece.encode("utf-8", "surrogatepass"))': "[ord(sign) for sign in piece]"},
    ),
    Mutant(
        "surrogates refused",
        question="q1",
        why="encode() without a second argument",
        fails={"q1": TEXTS},
        replace={'piece.encode("utf-8", "surrogatepass")': "piece.encode()"},
    ),
    Mutant(
        "old entries of the heap count",
        question="q1",
        why="what comes out of the heap is believed",
        fails={"q1": "*"},
        replace={"if -n != count[pair]:": "if False:"},
    ),
    Mutant(
        "old counts stay",
        question="q1",
        why="pairs that a merge makes are counted, those that it destroys are not taken off",
        fails={"q1": "*"},
        replace={"count[other] -= times[index]": "pass"},
    ),
    Mutant(
        "ids begin one too late",
        question="q1",
        why="len(merges) is taken after the merge was appended",
        fails={"q1": (*HAND, *TIES, "a special token is no text*", *TEXTS, "special tokens may*", *SPEED)},
        replace={"255 + len(merges)": "256 + len(merges)"},
    ),
    Mutant(
        "no merges",
        question="q1",
        why="an empty list, to be filled in later",
        fails={"q1": (*HAND, *TIES, "a special token is no text*", *TEXTS, "special tokens may*", *SPEED)},
        replace={"    return merges": "    return []"},
    ),
    Mutant(
        "everything is counted anew",
        question="q1",
        why="the algorithm as the paper prints it, on the different pieces: right, and slow",
        fails={"q1": ("with more words*", *SPEED)},
        define="""
def train_bpe(text, vocab_size, special_tokens=[]):
    parts = [text]
    if special_tokens:
        longest_first = sorted(special_tokens, key=len, reverse=True)
        parts = re.split("|".join(re.escape(token) for token in longest_first), text)
    pieces = Counter(piece for part in parts for piece in PIECE.findall(part))
    words = {tuple(piece.encode("utf-8", "surrogatepass")): n for piece, n in pieces.items()}
    merges = []
    while len(merges) < vocab_size - 256 - len(special_tokens):
        count = Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                count[pair] += n
        if not count:
            break
        pair = min(count, key=lambda pair: (-count[pair], pair))
        if count[pair] < 2:
            break
        merges.append(pair)
        words = {tuple(replaced(word, pair, 255 + len(merges))): n for word, n in words.items()}
    return merges
""",
    ),
    Mutant(
        "max over all pairs",
        question="q1",
        why="counts are kept up to date, and the largest is looked for among all of them",
        fails={"q1": ("with more words*", "speed: at most 6*")},
        replace={
            "while heap and len(merges) < vocab": "while count and len(merges) < vocab",
            "n, pair = heapq.heappop(heap)": (
                "pair = min(count, key=lambda pair: (-count[pair], pair))\n        n = -count[pair]"
            ),
            "for other in changed:": "for other in []:",
        },
    ),
    # -- q2 --------------------------------------------------------------------------------------------------------
    Mutant(
        "the first pair from the left",
        question="q2",
        why="merges whatever can be merged, in the order of the text",
        fails={"q2": ("a few words*", "prose, random letters and*", "special tokens may*", "memory*", *SPEED)},
        may_fail=("all of Unicode*", "where a stream*"),  # random text: it has such a place, or it has not
        replace={
            "first = min((self.id_of[pair] for pair in pairwise(ids) if pair in self.id_of), default=None)": (
                "first = next((self.id_of[pair] for pair in pairwise(ids) if pair in self.id_of), None)"
            )
        },
    ),
    Mutant(
        "the longest token that fits",
        question="q2",
        why="greedy matching against the vocabulary, as WordPiece does it",
        fails={"q2": ("prose, random letters and*", "memory*", "spe*")},
        may_fail=("all of Unicode*", "where a stream*"),
        define="""
def _longest_first(self, piece):
    if piece in self.special:
        return [self.special[piece]]
    if "known" not in vars(self):
        self.known = {token: i for i, token in reversed(list(enumerate(self.bytes_of[: 256 + len(self.id_of)])))}
        self.longest = max(map(len, self.known))
    known, data, ids = self.known, piece.encode("utf-8", "surrogatepass"), []
    while data:
        size = next(n for n in range(min(len(data), self.longest), 0, -1) if data[:n] in known)
        ids.append(known[data[:size]])
        data = data[size:]
    return ids


Tokenizer.ids_of = _longest_first
""",
    ),
    Mutant(
        "one round of merges",
        question="q2",
        why="a merge makes new pairs, and nobody looks again",
        fails={"q2": "*"},
        replace={"            ids = merged\n": "            ids = merged\n            break\n"},
    ),
    Mutant(
        "every piece anew",
        question="q2",
        why="nothing is remembered: right, and slow",
        fails={"q2": "speed: at most 2.2*"},
        replace={"if len(self.remembered) < 10_000:": "if False:"},
    ),
    Mutant(
        "all merges in turn",
        question="q2",
        why="every merge is tried on every piece, in the order of learning: right, and slow",
        fails={"q2": SPEED},
        define="""
def _all_in_turn(self, piece):
    if piece in self.special:
        return [self.special[piece]]
    ids = list(piece.encode("utf-8", "surrogatepass"))
    for pair, new in self.id_of.items():
        i = 0
        while i < len(ids) - 1:
            if (ids[i], ids[i + 1]) == pair:
                ids[i : i + 2] = [new]
            i += 1
    return ids


Tokenizer.ids_of = _all_in_turn
""",
    ),
    Mutant(
        "one merge at a time",
        question="q2",
        why="all pairs are looked through for every single merge: no matter for words, n² for long pieces",
        fails={"q2": "for a piece of more letters*"},
        replace={
            "                    merged[-1] = first\n": (
                "                    merged[-1] = first\n                    first = -1\n"
            )
        },
    ),
    Mutant(
        "special tokens are text, in encode",
        question="q2",
        why="they are put into the vocabulary, and encode does not look for them",
        fails={"q2": ("a special token is one id*", "special tokens may*", "where a stream*")},
        replace={"if not self.special:": "if True:"},
    ),
    Mutant(
        "the shorter of two special tokens, in encode",
        question="q2",
        why="alternatives of a pattern are tried in order, not by length",
        fails={"q2": ("a special token is one id*", "special tokens may*", "where a stream*")},
        replace={"key=len, reverse=True": "key=len"},
    ),
    Mutant(
        "special tokens as patterns, in encode",
        question="q2",
        why="'|'.join without re.escape",
        fails={"q2": ("a special token is one id*", "special tokens may*", "where a stream*", "memory*", *SPEED)},
        replace={"re.escape(token)": "token"},
    ),
    Mutant(
        "special tokens before the merges",
        question="q2",
        why="they get the ids after the bytes",
        fails={"q2": ("a special token is one id*", "special tokens may*", "where a stream*")},
        replace={"self.special[token] = len(self.bytes_of)": "self.special[token] = 256 + len(self.special)"},
    ),
    Mutant(
        "bytes that are no text are dropped",
        question="q2",
        why="errors='ignore' silences the same error",
        fails={"q2": ("a text comes back*", "all of Unicode*")},
        replace={'data.decode("utf-8", "replace")': 'data.decode("utf-8", "ignore")'},
    ),
    Mutant(
        "half a surrogate pair is replaced",
        question="q2",
        why="errors='replace' in every place: lone surrogates become question marks",
        fails={"q2": ("a text comes back*", "all of Unicode*")},
        replace={
            'ids = list(piece.encode("utf-8", "surrogatepass"))': 'ids = list(piece.encode("utf-8", "replace"))',
        },
    ),
    Mutant(
        "decoded token by token",
        question="q2",
        why="a token may end in the middle of a character",
        fails={"q2": ("a text comes back*", "all of Unicode*")},
        replace={
            'data = b"".join(self.bytes_of[i] for i in ids)': (
                'return "".join(self.bytes_of[i].decode("utf-8", "replace") for i in ids)'
            )
        },
    ),
    Mutant(
        "every chunk for itself",
        question="q2",
        why="encode, chunk by chunk",
        fails={"q2": "[mw]*"},
        define="""
def _chunk_by_chunk(self, chunks):
    for chunk in chunks:
        yield from self.encode(chunk)


Tokenizer.encode_stream = _chunk_by_chunk
""",
    ),
    Mutant(
        "the last piece is kept, special tokens are not",
        question="q2",
        why="a special token in two chunks is forgotten",
        fails={"q2": "where a stream*"},
        replace={"ahead = 1 + max((len(token) for token in self.special), default=0)": "ahead = 1"},
    ),
    Mutant(
        "white space ends where it ends",
        question="q2",
        why="a piece is thought complete as soon as something follows it; for white space that is one sign early",
        fails={"q2": "where a stream*"},
        replace={"if end + len(piece) + ahead > len(held):": "if end + len(piece) + ahead - 1 > len(held):"},
    ),
    Mutant(
        "the stream is read to its end first",
        question="q2",
        why="''.join(chunks): right, and no stream",
        fails={"q2": ("the first id of a stream*", "memory*")},
        define="""
def _all_at_once(self, chunks):
    yield from self.encode("".join(chunks))


Tokenizer.encode_stream = _all_at_once
""",
    ),
    Mutant(
        "all ids are kept",
        question="q2",
        why="a list of everything that was yielded, to count them",
        fails={"q2": "memory*"},
        define="""
_stream = Tokenizer.encode_stream


def _keep(self, chunks):
    self.seen = []
    for i in _stream(self, chunks):
        self.seen.append((i, len(self.seen)))
        yield i


Tokenizer.encode_stream = _keep
""",
    ),
    Mutant(
        "no ids",
        question="q2",
        why="an empty list, to be filled in later",
        fails={"q2": "*"},
        replace={"ids.extend(self.ids_of(piece))": "pass"},
    ),
    # -- q3 --------------------------------------------------------------------------------------------------------
    Mutant(
        "log of the sigmoid, as written",
        question="q3",
        why="the formula copied: log(sigmoid(s)) is -inf where the sigmoid rounds to 0",
        fails={"q3": "the loss of scores*"},
        replace={
            "return F.softplus(-positive) + F.softplus(negative).sum(1)": (
                "return -torch.sigmoid(positive).log() - torch.sigmoid(-negative).log().sum(1)"
            )
        },
    ),
    Mutant(
        "the loss is a mean over negatives",
        question="q3",
        why="mean for sum: the size of the loss then does not depend on k, and seems tidier",
        fails={"q3": ("two examples lose*", "a small step*", "batches of many*", "the loss of scores*")},
        replace={"F.softplus(negative).sum(1)": "F.softplus(negative).mean(1)"},
    ),
    Mutant(
        "negatives pull as well",
        question="q3",
        why="the sign of the negatives is lost",
        fails={"q3": ("two examples lose*", "a small step*", "batches of many*", "the loss of scores*")},
        replace={"F.softplus(negative)": "F.softplus(-negative)"},
    ),
    Mutant(
        "the last of several rows wins",
        question="q3",
        why="dw[rows] += shares adds once to each row",
        fails={"q3": ("two examples have*", "a small step*", "the gradients agree*", *SPEED)},
        replace={
            "dw_out.index_add_(0, negatives.flatten(), dn.flatten(0, 1))": (
                "dw_out[negatives.flatten()] += dn.flatten(0, 1)"
            )
        },
    ),
    Mutant(
        "a centre counts once",
        question="q3",
        why="the same, in the other table",
        fails={"q3": ("a small step*", "the gradients agree*", *SPEED)},
        replace={"dw_in.index_add_(0, centres, dv)": "dw_in[centres] += dv"},
    ),
    Mutant(
        "dout forgotten",
        question="q3",
        why="the gradient of the sum, which is what one tries",
        fails={"q3": ("two examples have*", "the gradients agree*", *SPEED)},
        replace={"-torch.sigmoid(-positive) * dout": "-torch.sigmoid(-positive)", " * dout[:, None]": ""},
    ),
    Mutant(
        "sigmoid of the wrong sign",
        question="q3",
        why="-sigmoid(s) for -sigmoid(-s): the error is large where the game is won",
        fails={"q3": ("two examples have*", "a small step*", "the gradients agree*", *SPEED)},
        replace={"-torch.sigmoid(-positive)": "-torch.sigmoid(positive)"},
    ),
    Mutant(
        "the centre hears the context alone",
        question="q3",
        why="the negatives' share of dv is forgotten",
        fails={"q3": ("two examples have*", "a small step*", "the gradients agree*", *SPEED)},
        replace={
            'dv = dpositive[:, None] * u + torch.einsum("bk,bkd->bd", dnegative, n)': "dv = dpositive[:, None] * u"
        },
    ),
    Mutant(
        "gradients of zero",
        question="q3",
        why="the right shapes, to be filled in later",
        fails={"q3": ("two examples have*", "a small step*", "the gradients agree*", *SPEED)},
        replace={"return dw_in, dw_out": "return 0 * dw_in, 0 * dw_out"},
    ),
    Mutant(
        "gradients 5 % off",
        question="q3",
        why="what a tolerance that is too generous lets pass",
        fails={"q3": ("two examples have*", "a small step*", "the gradients agree*", *SPEED)},
        replace={"return dw_in, dw_out": "return 1.05 * dw_in, dw_out"},
    ),
    Mutant(
        "gradients by autograd",
        question="q3",
        why="the loss is made of operations that autograd knows",
        fails={"q3": ("the gradients agree*", *SPEED)},
        define="""
def skipgram_gradients(dout, w_in, w_out, centres, contexts, negatives):
    w_in, w_out = w_in.detach().clone().requires_grad_(), w_out.detach().clone().requires_grad_()
    with torch.enable_grad():
        loss = skipgram_loss(w_in, w_out, centres, contexts, negatives)
    return torch.autograd.grad(loss, (w_in, w_out), dout)
""",
    ),
    Mutant(
        "example by example",
        question="q3",
        why="the formula in a Python loop: right, and slow",
        fails={"q3": SPEED},
        define="""
def skipgram_gradients(dout, w_in, w_out, centres, contexts, negatives):
    dw_in, dw_out = torch.zeros_like(w_in), torch.zeros_like(w_out)
    for d, c, o, ns in zip(dout, centres, contexts, negatives):
        v = w_in[c]
        for target, t in ((o, -1), *((n, 1) for n in ns)):
            share = t * torch.sigmoid(t * (w_out[target] @ v)) * d
            dw_in[c] += share * w_out[target]
            dw_out[target] += share * v
    return dw_in, dw_out
""",
    ),
    Mutant(
        "inputs changed",
        question="q3",
        why="the learning step is taken on the way",
        fails={"q3": ("a small step*", "the gradients agree*")},
        replace={"return dw_in, dw_out": "w_in -= 0.1 * dw_in\n    return dw_in, dw_out"},
    ),
    # -- q4 --------------------------------------------------------------------------------------------------------
    Mutant(
        "pairs in one direction",
        question="q4",
        why="only the words after the centre",
        fails={"q4": ("four words*", "texts and windows*")},
        replace={"torch.cat([torch.arange(-window, 0), torch.arange(1, window + 1)])": "torch.arange(1, window + 1)"},
    ),
    Mutant(
        "the centre is its own context",
        question="q4",
        why="a window that leaves nothing out",
        fails={"q4": ("four words*", "texts and windows*")},
        replace={
            "steps = torch.cat([torch.arange(-window, 0), torch.arange(1, window + 1)])": (
                "steps = torch.arange(-window, window + 1)"
            )
        },
    ),
    Mutant(
        "the window is one too small",
        question="q4",
        why="arange leaves out its end",
        fails={"q4": ("four words*", "texts and windows*")},
        replace={"torch.arange(1, window + 1)": "torch.arange(1, window)"},
    ),
    Mutant(
        "pairs of places",
        question="q4",
        why="the indices are returned, not what stands there",
        fails={"q4": ("four words*", "every word that*", "texts and windows*", "related words*")},
        replace={"return ids[centres], ids[others[inside]]": "return centres, others[inside]"},
    ),
    Mutant(
        "noise by the plain counts",
        question="q4",
        why="the exponent is forgotten",
        fails={"q4": ("counts of 16*", "many counts*")},
        replace={"counts.float() ** 0.75": "counts.float()"},
    ),
    Mutant(
        "noise does not add up to 1",
        question="q4",
        why="multinomial takes weights, so nobody notices",
        fails={"q4": ("counts of 16*", "many counts*")},
        replace={"weights / weights.sum()": "weights"},
    ),
    Mutant(
        "all words have vectors",
        question="q4",
        why="the rare words are not left out",
        fails={"q4": ("every word that*", "related words*")},
        replace={"if n >= 5]": "if n >= 1]"},
    ),
    Mutant(
        "vectors drawn by lot",
        question="q4",
        why="the training loop never runs",
        fails={"q4": "related words*"},
        replace={"    epochs = 4\n": "    epochs = 0\n"},
    ),
    Mutant(
        "the pairs do not belong together",
        question="q4",
        why="centres are shuffled, contexts are not",
        fails={"q4": "related words*"},
        replace={"F.embedding(contexts[batch], w_out)": "F.embedding(contexts[: len(batch)], w_out)"},
    ),
    Mutant(
        "counts for vectors",
        question="q4",
        why="words are what stands near them: the first 64 columns of a table of counts",
        fails={"q4": "related words*"},
        define="""
def embed(documents):
    texts = [words_of(document) for document in documents]
    counted = Counter(word for text in texts for word in text)
    words = [word for word, n in counted.most_common() if n >= 5]
    number = {word: i for i, word in enumerate(words)}
    table = torch.zeros(len(words), len(words))
    for text in texts:
        ids = torch.tensor([number[word] for word in text if word in number], dtype=torch.long)
        table.index_put_(skipgram_pairs(ids, 5), torch.tensor(1.0), accumulate=True)
    return words, table[:, :64]
""",
    ),
    # -- q5 --------------------------------------------------------------------------------------------------------
    Mutant(
        "precision for recall",
        question="q5",
        why="divided by k",
        fails={"q5": ("three rankings have the recall*", "random rankings*")},
        replace={"shares.append(len(found) / len(titles))": "shares.append(len(found) / k)"},
    ),
    Mutant(
        "a hit is enough",
        question="q5",
        why="1 if any relevant title is among the first k",
        fails={"q5": ("three rankings have the recall*", "random rankings*")},
        replace={"shares.append(len(found) / len(titles))": "shares.append(float(bool(found)))"},
    ),
    Mutant(
        "places from 0",
        question="q5",
        why="enumerate starts at 0, and the mean is over 1 / (place + 1) twice",
        fails={"q5": ("three rankings have the mean*", "random rankings*")},
        replace={"start=1": "start=2"},
    ),
    Mutant(
        "questions without an answer do not count",
        question="q5",
        why="the mean is taken over those that were found",
        fails={"q5": ("three rankings have the mean*", "random rankings*")},
        replace={
            "total = 0.0": "total, answered = 0.0, 0",
            "total += 1 / places[0]": "total += 1 / places[0]\n            answered += 1",
            "return total / len(rankings)": "return total / max(answered, 1)",
        },
    ),
    Mutant(
        "the worst first",
        question="q5",
        why="argsort sorts upwards",
        fails={"q5": ("of three documents*", "a document is found*", "recall at 5*", "mean reciprocal rank on*")},
        replace={"np.argsort(-(self.vectors @ vector), kind=": "np.argsort(self.vectors @ vector, kind="},
    ),
    Mutant(
        "always ten",
        question="q5",
        why="k is not looked at",
        fails={"q5": "a document is found*"},
        replace={"for i in best[:k]]": "for i in best[:10]]"},
    ),
    Mutant(
        "words that are shared",
        question="q5",
        why="the number of words that question and document share: long documents win",
        fails={"q5": ("recall at 5*", "mean reciprocal rank on*")},
        define="""
class Searcher:
    def __init__(self, documents):
        self.words = {title: set(words_of(text)) for title, text in documents.items()}

    def search(self, question, k=10):
        asked = set(words_of(question))
        return sorted(self.words, key=lambda title: -len(asked & self.words[title]))[:k]
""",
    ),
    Mutant(
        "the cosine of counts",
        question="q5",
        why="no weights: common words decide",
        fails={"q5": ("recall at 5*", "mean reciprocal rank on*")},
        define="""
class Searcher:
    def __init__(self, documents):
        self.counts = {title: Counter(words_of(text)) for title, text in documents.items()}
        self.lengths = {title: sum(n * n for n in c.values()) ** 0.5 + 1e-9 for title, c in self.counts.items()}

    def search(self, question, k=10):
        asked = Counter(words_of(question))
        score = {
            title: sum(n * count[word] for word, n in asked.items()) / self.lengths[title]
            for title, count in self.counts.items()
        }
        return sorted(score, key=lambda title: -score[title])[:k]
""",
    ),
    Mutant(
        "the same ranking for everybody",
        question="q5",
        why="documents in their order: a constant",
        fails={"q5": ("of three documents*", "a document is found*", "recall at 5*", "mean reciprocal rank on*")},
        replace={"for i in best[:k]]": "for i in range(len(best))[:k]]"},
    ),
]

ALTERNATES = [
    Alternate(
        "counted by dicts, merged by index",
        question="q1",
        why="plain dicts, and a loop over indices; old entries are told by a set of merged pairs and the count",
        define="""
def train_bpe(text, vocab_size, special_tokens=()):
    pattern = "|".join(map(re.escape, sorted(special_tokens, key=lambda token: -len(token)))) or "(?!)"
    pieces = Counter(piece for part in re.split(pattern, text) for piece in PIECE.findall(part))
    items = [[list(piece.encode("utf-8", "surrogatepass")), n] for piece, n in pieces.items()]
    count, holders = {}, {}
    for item in items:
        ids, n = item
        for pair in zip(ids, ids[1:]):
            count[pair] = count.get(pair, 0) + n
            holders.setdefault(pair, {})[id(item)] = item
    queue = sorted((-n, pair) for pair, n in count.items())
    merges = []
    for new in range(256, vocab_size - len(special_tokens)):
        while queue and count.get(queue[0][1], 0) != -queue[0][0]:
            heapq.heappop(queue)
        if not queue or queue[0][0] > -2:
            break
        pair = heapq.heappop(queue)[1]
        merges.append(pair)
        delta = {}
        for item in list(holders.pop(pair).values()):
            ids, n = item
            at = 0
            while at + 1 < len(ids):
                if ids[at] == pair[0] and ids[at + 1] == pair[1]:
                    for left, right, sign in (
                        (at - 1, at, -1), (at, at + 1, -1), (at + 1, at + 2, -1)
                    ):
                        if left >= 0 and right < len(ids):
                            key = (ids[left], ids[right])
                            delta[key] = delta.get(key, 0) + sign * n
                    ids[at : at + 2] = [new]
                    for left in (at - 1, at):
                        if left >= 0 and left + 1 < len(ids):
                            key = (ids[left], ids[left + 1])
                            delta[key] = delta.get(key, 0) + n
                            holders.setdefault(key, {})[id(item)] = item
                at += 1
        for key, change in delta.items():
            if change:
                count[key] = count.get(key, 0) + change
                heapq.heappush(queue, (-count[key], key))
    return merges
""",
    ),
    Alternate(
        "a heap for the merges of a piece",
        question="q2",
        why="linked neighbours and a heap, and functools.lru_cache for what is remembered",
        define="""
import functools


def _merged(self, piece):
    if piece in self.special:
        return (self.special[piece],)
    ids = list(piece.encode("utf-8", "surrogatepass"))
    following = list(range(1, len(ids))) + [None]
    previous = [None] + list(range(len(ids) - 1))
    heap = [(self.id_of[pair], i, *pair) for i, pair in enumerate(zip(ids, ids[1:])) if pair in self.id_of]
    heapq.heapify(heap)
    while heap:
        new, i, a, b = heapq.heappop(heap)
        j = following[i]
        if ids[i] != a or j is None or ids[j] != b:
            continue
        ids[i], ids[j] = new, None
        following[i] = following[j]
        if following[i] is not None:
            previous[following[i]] = i
        for left in (previous[i], i):
            if left is not None and following[left] is not None:
                pair = (ids[left], ids[following[left]])
                if pair in self.id_of:
                    heapq.heappush(heap, (self.id_of[pair], left, *pair))
    return tuple(i for i in ids if i is not None)


_start = Tokenizer.__init__


def _start_with_cache(self, merges, special_tokens=()):
    _start(self, merges, special_tokens)
    self.ids_of = functools.lru_cache(4096)(functools.partial(_merged, self))


Tokenizer.__init__ = _start_with_cache
""",
    ),
    Alternate(
        "holds back the last piece and the last signs",
        question="q2",
        why="a stream that waits for more than it must",
        define="""
def _patient(self, chunks):
    ahead = 2 + 2 * max([1, *map(len, self.special)])
    waiting = ""
    for chunk in chunks:
        waiting += chunk
        units = self.pieces(waiting)
        sizes = [len(unit) for unit in units]
        keep = 0
        while units and keep < ahead:
            keep += sizes.pop()
            units.pop()
        yield from (i for unit in units for i in self.ids_of(unit))
        waiting = waiting[sum(sizes) :]
    yield from self.encode(waiting)


Tokenizer.encode_stream = _patient
""",
    ),
    Alternate(
        "one table of scores",
        question="q3",
        why="contexts and negatives side by side, batched products",
        define="""
def skipgram_loss(w_in, w_out, centres, contexts, negatives):
    rows = torch.cat([contexts[:, None], negatives], 1)
    signs = torch.tensor([-1.0] + [1.0] * negatives.shape[1], dtype=w_in.dtype, device=w_in.device)
    scores = torch.bmm(w_out[rows], w_in[centres].unsqueeze(2)).squeeze(2)
    return -F.logsigmoid(-signs * scores).sum(1)


def skipgram_gradients(dout, w_in, w_out, centres, contexts, negatives):
    rows = torch.cat([contexts[:, None], negatives], 1)
    v, u = w_in[centres], w_out[rows]
    errors = torch.sigmoid(torch.bmm(u, v.unsqueeze(2)).squeeze(2))
    errors[:, 0] -= 1
    errors = errors * dout[:, None]
    dw_in, dw_out = torch.zeros_like(w_in), torch.zeros_like(w_out)
    dw_in.index_put_((centres,), torch.bmm(errors.unsqueeze(1), u).squeeze(1), accumulate=True)
    dw_out.index_add_(0, rows.reshape(-1), (errors.unsqueeze(2) * v.unsqueeze(1)).reshape(-1, v.shape[1]))
    return dw_in, dw_out
""",
    ),
    Alternate(
        "counting and an SVD",
        question="q4",
        why="positive pointwise mutual information in 64 dimensions: no training (Levy and Goldberg 2014)",
        define="""
def skipgram_pairs(ids, window):
    n = len(ids)
    i = torch.arange(n).repeat_interleave(n)
    j = torch.arange(n).repeat(n)
    near = ((i - j).abs() <= window) & (i != j)
    return ids[i[near]], ids[j[near]]


def embed(documents):
    texts = [words_of(document) for document in documents]
    counted = Counter(word for text in texts for word in text)
    words = sorted(word for word, n in counted.items() if n >= 5)
    number = {word: i for i, word in enumerate(words)}
    table = torch.zeros(len(words), len(words))
    for text in texts:
        ids = torch.tensor([number[word] for word in text if word in number], dtype=torch.long)
        for k in range(1, 6):
            for a, b in ((ids[k:], ids[:-k]), (ids[:-k], ids[k:])):
                table.index_put_((a, b), torch.ones(len(a)), accumulate=True)
    expected = table.sum(1, keepdim=True) * table.sum(0) / table.sum()
    information = (table / expected.clamp(min=1e-9)).clamp(min=1).log()
    u, s, _ = torch.linalg.svd(information)
    return words, (u[:, :64] * s[:64].sqrt()).contiguous()
""",
    ),
    Alternate(
        "BM25 on words",
        question="q5",
        why="no vectors at all: the formula of search engines, and a list of common words",
        define="""
COMMON_WORDS = set("how do i a an the of and or to in is it that what which can are be does by with my as was".split())


def recall_at_k(rankings, relevant, k):
    return float(np.mean([np.isin(titles, ranking[:k]).mean() for ranking, titles in zip(rankings, relevant)]))


class Searcher:
    def __init__(self, documents):
        self.counts = {title: Counter(words_of(text)) for title, text in documents.items()}
        self.held = Counter(word for count in self.counts.values() for word in count)
        self.mean = sum(sum(count.values()) for count in self.counts.values()) / len(documents)

    def score(self, title, words):
        count, total = self.counts[title], 0.0
        length = sum(count.values()) / self.mean
        for word in words:
            n, held = count[word], self.held[word]
            rarity = np.log(1 + (len(self.counts) - held + 0.5) / (held + 0.5))
            total += rarity * n * 2.2 / (n + 1.2 * (0.25 + 0.75 * length))
        return total

    def search(self, question, k=10):
        words = set(words_of(question)) - COMMON_WORDS
        return sorted(self.counts, key=lambda title: -self.score(title, words))[:k]
""",
    ),
]

# Of what `gradekit verify` makes of the solution by itself.
EQUIVALENT = [
    Equivalent(
        "q1",
        why="of two tokens that begin alike the longer one comes later in the alphabet, so its reverse will do",
        replace={" key=len, reverse": " reverse"},
    ),
    Equivalent("q1", why="what is left in the heap is as rare: it is emptied in vain", replace={"break": "continue"}),
    Equivalent(
        "q2",
        why="of two tokens that begin alike the longer one comes later in the alphabet, so its reverse will do",
        replace={" key=len, reverse": " reverse"},
    ),
    Equivalent(
        "q2",
        why="a stream that waits for one sign more than it must",
        replace={" 1 ": " 2 ", "default=0)": "default=1)", "> len": ">= len"},
    ),
    Equivalent(
        "q2",
        why="a single byte has no pair, so the loop ends at once; a piece is never empty",
        replace={"> 1": ">= 1", " 1:": " 0:"},
    ),
    Equivalent(
        "q2",
        why="how many pieces are remembered is free, as long as it is many and bounded",
        replace={"< 10000": "<= 10000", "10000:": "10001:", " 10000:": " 9999:"},
    ),
    Equivalent(
        "q4",
        why="every pair comes in both directions, so which of them is which does not matter",
        replace={
            " + steps": " - steps",
            "ids[centres], ids[others[inside]]": "ids[others[inside]], ids[centres]",
        },
    ),
    Equivalent("q4", why="a power of whole numbers is a float already", replace={"counts.float() ": "counts "}),
    Equivalent(
        "q4", why="a list of whole numbers is int64 already", replace={"number], dtype=torch.long)": "number])"}
    ),
    Equivalent(
        "q4",
        why="how the common words are thinned out, and how far a window reaches, is free",
        replace={
            " (0.001 * counts.sum() / counts).sqrt()": " 0.001 * counts.sum() / counts",
            " / counts": " * counts",
            "(0.001 * counts.sum() / counts).sqrt": "(counts / (0.001 * counts.sum())).sqrt",
            "(0.001 * counts.sum": "(counts.sum",
            "0.001 ": "0.002 ",
            "< stays": "<= stays",
            "window=5)": ("window=6)", "window=4)"),
        },
    ),
    Equivalent(
        "q4",
        why="how the vectors start, and which of them are handed in, is free",
        replace={
            " (torch.randn(len(words), 64) / 64": " torch.randn(len(words), 64",
            "64).requires_grad_": ("65).requires_grad_", "63).requires_grad_"),
            " (w_in + w_out).detach())": " w_in + w_out)",
            " (w_in + w_out).detach": (" w_in.detach", " w_out.detach"),
        },
    ),
    Equivalent(
        "q4",
        why="rates, epochs and the size of a batch are free, as long as related words come together",
        replace={
            "w_out], lr=0.03)": "w_out])",
            "0.03)": "0.06)",
            " 4": (" 5", " 3"),
            "epochs)": "epochs - 1)",
            "2048)": ("2049)", "2047)"),
            "group['lr'] = 0.03 * (1 - (epoch + step / len(batches)) / epochs)": "pass",
            "0.03 * (1 - (epoch + step / len(batches)) / epochs)": "0.03",
            " 0.03 * (1 - (epoch + step / len(batches)) / epochs)": " 1 - (epoch + step / len(batches)) / epochs",
            "0.03 ": "0.06 ",
            "1 - ": "1 + ",
            " (1 - (epoch + step / len(batches)) / epochs)": " 1",
            "(1 - (epoch": "((epoch",
            "(1 ": "(2 ",
            "epoch + step": "epoch - step",
            " (epoch + step / len(batches)) ": " epoch ",
            " (epoch + step / len(batches))": " step / len(batches)",
        },
    ),
    Equivalent(
        "q5",
        why="there is a list of relevant titles for every ranking",
        replace={"relevant, strict=True)": "relevant)", "strict=True": "strict=False"},
    ),
    Equivalent(
        "q5",
        why="the weights are free: what counts is what is found, and most is done by leaving out the common words",
        replace={
            "1)) + 1": ("1))", "1)) + 2", "1)) + 0"),
            " / ": " * ",
            "counts) + 1)": "counts) - 1)",
            "np.log((len(counts) + 1)": "np.log(len(counts)",
            "+ 1) ": ("+ 2) ", "+ 0) "),
            " (seen + 1))": " seen)",
            "+ 1))": ("+ 2))", "+ 0))"),
            "seen[self.column[part]] += 1": ("pass", "seen[self.column[part]] = 1"),
            " 1": (" 2", " 0"),
            "n) * self.weight[self.column[part]]": "n)",
            ":60]": (":61]", ":59]"),
        },
    ),
    Equivalent(
        "q5",
        why="how equal scores are ordered is free; a maximum is one of either argument; the floor is next to nothing",
        replace={
            "vector), kind='stable')": "vector))",
            "np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-09)": (
                "np.maximum(1e-09, np.linalg.norm(rows, axis=-1, keepdims=True))"
            ),
            " 1e": " 2e",
        },
    ),
    Equivalent(
        "q5",
        why="the rows have length 1 already, so that their lengths in the smaller space differ little",
        replace={" axis=-1, keepdims": " keepdims"},
    ),
    Equivalent(
        "q5",
        why="which runs of letters make the parts of a word is free",
        replace={
            "word + '>'": "word",
            " '<' + word": " word",
            "n]": "n - 1]",
            "i + n": "i - n",
            "(3, 4,": "(4, 3,",
            " 4, 5)": " 5, 4)",
            "(3,": ("(4,", "(2,"),
            " 4,": (" 5,", " 3,"),
            " 5)": (" 6)", " 4)"),
            " 1)": (" 2)", " 0)", " 1 - 1)"),
            "1)": "1 - 1)",
            "n + 1": "n - 1",
            "n + 1)": "n)",
            "range(len(marked) - n + 1": "range(1",
            " - n": " + n",
            " - n +": " +",
            "range(len(marked) - n": "range(n",
        },
    ),
]
