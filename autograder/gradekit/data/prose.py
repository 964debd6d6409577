"""English prose about Python: the reference topics that the standard library carries with it."""

import dataclasses
import re
import zlib
from collections.abc import Iterable

from gradekit.data.consent import wants_full
from gradekit.data.prose_questions import QUESTIONS

SHORTEST = 200
"""Characters. A document with less left, once what stands elsewhere has been taken out, is left out."""

SPLIT_SEED = 116
"""Chosen so that validation and test have about a tenth of the text each, on every Python from 3.11 on."""

UNDERLINE = re.compile(r'[*=\-~^"]{3,}')
HEADING = re.compile(r"^ = ([^=].*?) = $", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Question:
    """A question in a person's words, and the titles of the documents that answer it (any of them will do)."""

    text: str
    titles: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Prose:
    """A corpus: its documents by title, in alphabetical order, and which of them are for what.

    train, validation, test: titles; every document is in one of them. questions: about all documents, whatever their
    part; none for the full counterpart.
    """

    documents: dict[str, str]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    questions: tuple[Question, ...]

    def text(self, titles: Iterable[str] | None = None) -> str:
        """The documents of these titles (all of them, by default) as one string, an empty line between them."""
        return "\n".join(self.documents[title] for title in (self.documents if titles is None else titles))


def prose(full: bool | None = None) -> Prose:
    """78 documents about the Python language in plain English, in three parts by document, and 50 questions.

    375,000 characters on Python 3.11 (about a tenth of them each for validation and test), 416,000 on 3.13: the text
    belongs to the Python that runs, and figures measured on it are per version. Titles and split are the same on all.
    Almost all of it is ASCII; dashes and curly quotation marks are not.

    Source: the topics of Python's `help()`, from the standard library (`pydoc_data.topics`, no download). They overlap;
    here a paragraph stands in one document only, the shortest of those that have it, so that no text is on both sides
    of the split. Licence: PSF License Version 2, code in it also Zero-Clause BSD. The questions are the kit's own, MIT.

    full: True for the large counterpart, WikiText-2 (see `wikitext`), False for this one whatever the environment says,
    None for what the environment says: GRADEKIT_DATA=full is the consent to download.
    """
    if wants_full() if full is None else full:
        return wikitext()
    try:
        from pydoc_data import topics
    except ImportError as error:
        raise ImportError(
            "this Python was installed without pydoc_data, a part of its standard library: install the whole of it"
        ) from error
    documents = deduplicated(topics.topics)
    return Prose(documents, *split(documents), tuple(Question(text, titles) for text, titles in QUESTIONS))


def wikitext() -> Prose:
    """WikiText-2 (raw): 720 articles of Wikipedia in the split of its authors, 13 MB, downloaded by Hugging Face.

    Source: Merity et al. 2016, arXiv:1609.07843, as Salesforce/wikitext. Licence: CC BY-SA 3.0 and GFDL. Articles that
    have one title are told apart by a number. It has no questions.

    Raises ImportError without the package `datasets`, and RuntimeError where the data can neither be loaded nor found.
    """
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ImportError(
            "the full corpus is loaded by Hugging Face datasets: pip install datasets, or unset GRADEKIT_DATA"
        ) from error
    documents: dict[str, str] = {}
    parts: list[tuple[str, ...]] = []
    for part in ("train", "validation", "test"):
        try:
            lines = load_dataset("Salesforce/wikitext", "wikitext-2-raw-v1", split=part)["text"]
        except Exception as error:  # datasets, its hub client and the network raise many kinds
            raise RuntimeError(
                f"WikiText-2 ({part}) could not be loaded ({type(error).__name__}: {error}). It is downloaded once, "
                "from huggingface.co; without a network, unset GRADEKIT_DATA and use the small corpus"
            ) from error
        articles = HEADING.split("".join(lines))[1:]
        titles = []
        for heading, body in zip(articles[::2], articles[1::2], strict=True):
            title, number = heading, 2
            while title in documents:
                title, number = f"{heading} ({number})", number + 1
            documents[title] = f"{heading}\n\n{body.strip()}\n"
            titles.append(title)
        parts.append(tuple(titles))
    train, validation, test = parts
    return Prose({title: documents[title] for title in sorted(documents)}, train, validation, test, ())


def deduplicated(raw: dict[str, str]) -> dict[str, str]:
    """The documents with every paragraph in one of them only, the shortest that has it; in alphabetical order.

    Headings follow their paragraphs; what has fewer than 40 characters ("is equivalent to") may stand anywhere.
    """
    texts = {title: re.sub(r"[ \t]+\n", "\n", text).strip() for title, text in raw.items()}
    found: set[str] = set()
    documents = {}
    for title in sorted(texts, key=lambda title: (len(texts[title]), len(title), title)):
        kept = []
        for number, paragraph in enumerate(re.split(r"\n{2,}", texts[title])):
            lines = paragraph.split("\n")
            heading = len(lines) == 2 and UNDERLINE.fullmatch(lines[1]) is not None
            words = lines[0] if heading else " ".join(paragraph.split())
            if number > 0 and words in found and (heading or len(words) >= 40):
                continue
            found.add(words)
            kept.append(paragraph)
        text = "\n\n".join(kept) + "\n"
        if len(text) >= SHORTEST:
            documents[title] = text
    return {title: documents[title] for title in sorted(documents)}


def split(titles: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Titles to train on, to validate on and to test on. A title's part depends on nothing but the title."""
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for title in titles:
        lot = zlib.crc32(f"{SPLIT_SEED} {title}".encode()) % 10
        parts[2 if lot == 0 else 1 if lot == 1 else 0].append(title)
    return tuple(parts[0]), tuple(parts[1]), tuple(parts[2])
