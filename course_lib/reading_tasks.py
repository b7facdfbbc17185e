"""Five things to ask of whoever reads a text: a class, names, an answer, a number, a match. All on the same records.

A task knows how records become a batch, which head belongs on top, what to minimise and what to count, so that bodies
can be compared on all of them with one loop; and which rule without any learning it is held against.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.decoder import Decoder
from course_lib.encoder import Encoder
from course_lib.heads import SequenceClassifier, SequenceRegressor, SpanQA, TokenClassifier, pool
from course_lib.objectives import IGNORE, token_loss
from course_lib.padding import right_pad
from course_lib.spans import best_span
from course_lib.worlds import baselines, retrieval, views
from course_lib.worlds.records import Record
from course_lib.worlds.special_tokens import PAD, SEP
from course_lib.worlds.texts import document
from course_lib.worlds.tokenizers import WordTokenizer

__all__ = ["ANSWER", "MATCH", "NAMES", "SECTOR", "STAFF", "TASKS", "Task", "words_of"]

Batch = tuple[Tensor, ...]
HUNDREDS = 100  # employees are counted in hundreds, so that errors are neither tiny nor huge
TEMPERATURE = 0.05  # of the cosines of queries and texts


@dataclass(frozen=True)
class Task:
    """One task on records.

    rows(records, words): a batch of them, ids and padding mask first; `words` is the tokenizer.
    put_on(body, generator): the model, a new head on an encoder or a decoder.
    loss(model, batch): the mean loss, for `training.train`.
    score(model, batch): what it is judged by. unit: of what.
    rule(taught_on, tested_on): the score of a simple rule. rule_name: which one.

    >>> from course_lib.worlds.records import records
    >>> drawn = records(8, torch.Generator().manual_seed(0))
    >>> words = words_of(drawn)
    >>> batch = SECTOR.rows(drawn, words)
    >>> [len(part) for part in batch]
    [8, 8, 8]
    """

    name: str
    rows: Callable[[Sequence[Record], WordTokenizer], Batch]
    put_on: Callable[[Encoder | Decoder, torch.Generator | None], nn.Module]
    loss: Callable[[nn.Module, Batch], Tensor]
    score: Callable[[nn.Module, Batch], float]
    unit: str
    rule: Callable[[Sequence[Record], Sequence[Record]], float]
    rule_name: str


def words_of(drawn: Sequence[Record]) -> WordTokenizer:
    """Give a tokenizer of all words in all views of some records, and in the queries for them.

    >>> from course_lib.worlds.records import records
    >>> words = words_of(records(1, torch.Generator().manual_seed(0)))
    >>> words.decode(words.encode(["Sarah", "Perez", "knits"]))
    'Sarah Perez <unk>'
    """
    return WordTokenizer([*views.vocabulary(drawn), *map(retrieval.query, drawn)])


def _padded(rows: Sequence[Sequence[str]], words: WordTokenizer) -> Batch:
    return right_pad([words.encode(row) for row in rows], PAD)


def _share(right: Tensor) -> float:
    return right.double().mean().item()


# The sector of the present employer: one class for a text, which names two firms.
def _sector_rows(drawn: Sequence[Record], words: WordTokenizer) -> Batch:
    texts, labels = zip(*map(views.sector, drawn), strict=True)
    return *_padded(texts, words), torch.tensor(labels)


def _first_sector(taught_on: Sequence[Record], tested_on: Sequence[Record]) -> float:
    return fmean(baselines.first_sector(text) == label for text, label in map(views.sector, tested_on))


SECTOR = Task(
    "sector", _sector_rows,
    put_on=lambda body, generator: SequenceClassifier(body, len(views.SECTOR_NAMES), generator=generator),
    loss=lambda model, batch: F.cross_entropy(model(*batch[:2]), batch[2]),
    score=lambda model, batch: _share(model(*batch[:2]).argmax(-1) == batch[2]), unit="share right",
    rule=_first_sector, rule_name="that of the first product",
)  # fmt: skip


# Names: one label for each token.
def _names_rows(drawn: Sequence[Record], words: WordTokenizer) -> Batch:
    pairs = [views.tag(record) for record in drawn]
    labels, _ = right_pad([[views.TAGS.index(tag) for tag in pair.target] for pair in pairs], IGNORE)
    return *_padded([pair.source for pair in pairs], words), labels


def _tags_right(model: nn.Module, batch: Batch) -> float:
    real = batch[2] != IGNORE
    return _share(model(*batch[:2]).argmax(-1)[real] == batch[2][real])


def _tag_of_the_word(taught_on: Sequence[Record], tested_on: Sequence[Record]) -> float:
    seen: dict[str, Counter] = {}
    for token, tag in (both for record in taught_on for both in zip(*views.tag(record), strict=True)):
        seen.setdefault(token, Counter())[tag] += 1
    usual = {token: counts.most_common(1)[0][0] for token, counts in seen.items()}
    asked = [both for record in tested_on for both in zip(*views.tag(record), strict=True)]
    return fmean(usual.get(token, "O") == tag for token, tag in asked)


NAMES = Task(
    "names", _names_rows,
    put_on=lambda body, generator: TokenClassifier(body, len(views.TAGS), generator),
    loss=lambda model, batch: token_loss(model(*batch[:2]), batch[2]),
    score=_tags_right, unit="share of tags right",
    rule=_tag_of_the_word, rule_name="the tag the word had most often",
)  # fmt: skip


# Answers: question and text are read as one sequence; the answer is a span of it.
def _answer_rows(drawn: Sequence[Record], words: WordTokenizer) -> Batch:
    asked = [question for record in drawn for question in views.questions(record)]
    rows = [[*words.encode(one.question), SEP, *words.encode(one.context)] for one in asked]
    before = torch.tensor([len(one.question) + 1 for one in asked])[:, None]
    return *right_pad(rows, PAD), torch.tensor([[one.start, one.end] for one in asked]) + before


def _span_loss(model: nn.Module, batch: Batch) -> Tensor:
    start, end = model(*batch[:2])
    return F.cross_entropy(start, batch[2][:, 0]) + F.cross_entropy(end, batch[2][:, 1])


def _usual_place(taught_on: Sequence[Record], tested_on: Sequence[Record]) -> float:
    places: dict[str, Counter] = {}
    for asked in (question for record in taught_on for question in views.questions(record)):
        places.setdefault(asked.fact, Counter())[asked.start, asked.end] += 1
    usual = {fact: counts.most_common(1)[0][0] for fact, counts in places.items()}
    asked = [question for record in tested_on for question in views.questions(record)]
    return fmean(usual[one.fact] == (one.start, one.end) for one in asked)


ANSWER = Task(
    "answer", _answer_rows,
    put_on=SpanQA,
    loss=_span_loss,
    score=lambda model, batch: _share((best_span(*model(*batch[:2])) == batch[2]).all(-1)), unit="share exact",
    rule=_usual_place, rule_name="the usual place for this question",
)  # fmt: skip


# Staff: how many people the present employer has; the former one's number stands in the same text.
def _staff_rows(drawn: Sequence[Record], words: WordTokenizer) -> Batch:
    texts, numbers = zip(*map(views.staff, drawn), strict=True)
    return *_padded(texts, words), torch.tensor(numbers) / HUNDREDS


def _first_number(taught_on: Sequence[Record], tested_on: Sequence[Record]) -> float:
    return fmean(abs(baselines.first_number(text) - number) for text, number in map(views.staff, tested_on))


STAFF = Task(
    "staff", _staff_rows,
    put_on=lambda body, generator: SequenceRegressor(body, generator=generator),
    loss=lambda model, batch: F.mse_loss(model(*batch[:2]), batch[2]),
    score=lambda model, batch: HUNDREDS * (model(*batch[:2]) - batch[2]).abs().mean().item(), unit="people wrong by",
    rule=_first_number, rule_name="the first number",
)  # fmt: skip


# Match: a query and a text get a vector each, from the same body; those that belong together should be alike.
class _Cosines(nn.Module):
    """The cosine of each query's mean vector with each text's; it adds no weights."""

    def __init__(self, body: Encoder | Decoder, generator: torch.Generator | None = None):
        super().__init__()
        self.body = body

    def forward(self, queries: Tensor, queries_mask: Tensor, texts: Tensor, texts_mask: Tensor) -> Tensor:
        pairs = (queries, queries_mask), (texts, texts_mask)
        query, text = (F.normalize(pool(self.body.hidden(ids, mask), mask), dim=-1) for ids, mask in pairs)
        return query @ text.T


def _match_rows(drawn: Sequence[Record], words: WordTokenizer) -> Batch:
    queries = _padded([retrieval.query(record) for record in drawn], words)
    return *queries, *_padded([document(record).tokens for record in drawn], words)


def _contrast(model: nn.Module, batch: Batch) -> Tensor:
    return F.cross_entropy(model(*batch) / TEMPERATURE, torch.arange(len(batch[0]), device=batch[0].device))


def _most_words(taught_on: Sequence[Record], tested_on: Sequence[Record]) -> float:
    texts = [document(record).tokens for record in tested_on]
    best = [baselines.overlap_ranking(retrieval.query(record), texts)[0] for record in tested_on]
    return fmean(place == number for number, place in enumerate(best))


MATCH = Task(
    "match", _match_rows,
    put_on=_Cosines,
    loss=_contrast,
    score=lambda model, batch: _share(model(*batch).argmax(-1) == torch.arange(len(batch[0]))), unit="share found",
    rule=_most_words, rule_name="most words in common",
)  # fmt: skip

TASKS = (SECTOR, NAMES, ANSWER, STAFF, MATCH)
