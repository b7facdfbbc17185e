"""Three tasks on records, each told by its prompt alone: what is read, the name of the task, a colon, and the answer.

A decoder that learned to go on from such prompts needs no head for a task. Only answers count in its loss.
"""

from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from course_lib.decoder import Decoder
from course_lib.generation import generate
from course_lib.objectives import IGNORE
from course_lib.padding import left_pad, right_pad
from course_lib.worlds import baselines, views
from course_lib.worlds.names import names
from course_lib.worlds.records import Record
from course_lib.worlds.special_tokens import EOS, PAD
from course_lib.worlds.tokenizers import WordTokenizer

__all__ = ["RULES", "answers", "behind", "by_rule", "exactly_right", "examples", "rows", "words_of"]

Form = Callable[[list[str], str], list[str]]

RULES: dict[str, Callable[[list[str]], list[str]]] = {
    "sector": lambda read: [views.SECTOR_NAMES[baselines.first_sector(read)]],
    "city": lambda read: [next(word for word in read if word in names().cities)],
    "german": lambda read: read,
}  # what each task gets without any reading: the first product's sector, the first city, the note as it is


def behind(read: list[str], task: str) -> list[str]:
    """Make a prompt of the form that is learned: the name of the task and a colon behind what is read.

    >>> " ".join(behind(["Ada", "left", "."], "city"))
    'Ada left . city :'
    """
    return [*read, task, ":"]


def examples(record: Record) -> dict[str, tuple[list[str], list[str]]]:
    """Give what is read and what is to be written for each task: a sector, the present city, a note in German.

    >>> from course_lib.worlds.records import records
    >>> (one,) = records(1, torch.Generator().manual_seed(0))
    >>> {task: " ".join(answer[:3]) for task, (read, answer) in examples(one).items()}
    {'sector': 'health', 'city': 'Staßfurt', 'german': 'Sarah Perez begann'}
    """
    report, sector = views.sector(record)
    city = next(question for question in views.questions(record) if question.fact == "city")
    return {
        "sector": (report, [views.SECTOR_NAMES[sector]]),
        "city": (report, city.answer),
        "german": tuple(views.translate(record)),
    }


def words_of(drawn: Sequence[Record]) -> WordTokenizer:
    """Give a tokenizer of all prompts and answers of some records.

    >>> from course_lib.worlds.records import records
    >>> words = words_of(records(1, torch.Generator().manual_seed(0)))
    >>> words.decode(words.encode(["city", ":", "Pegnitz"]))
    'city : <unk>'
    """
    pairs = [(behind(read, task), answer) for record in drawn for task, (read, answer) in examples(record).items()]
    return WordTokenizer([[*prompt, *answer] for prompt, answer in pairs])


def rows(
    drawn: Sequence[Record], words: WordTokenizer
) -> tuple[Int[Tensor, "batch seq"], Bool[Tensor, "batch 1 1 seq"], Int[Tensor, "batch seq"]]:
    """Give ids, their padding mask, and the next token at each place: IGNORE up to the colon, where the answer begins.

    There are as many rows for a record as tasks.
    Shapes: returns (batch, seq), (batch, 1, 1, seq) and (batch, seq).

    >>> from course_lib.worlds.records import records
    >>> drawn = records(2, torch.Generator().manual_seed(0))
    >>> words = words_of(drawn)
    >>> ids, mask, labels = rows(drawn, words)
    >>> len(ids), words.decode(labels[0][labels[0] != IGNORE])
    (6, 'health <eos>')
    """
    pairs = [(behind(read, task), answer) for record in drawn for task, (read, answer) in examples(record).items()]
    prompts = [words.encode(prompt) for prompt, _ in pairs]
    written = [words.encode(answer, eos=True) for _, answer in pairs]
    ids, mask = right_pad([before + after for before, after in zip(prompts, written, strict=True)], PAD)
    labels = [[IGNORE] * (len(before) - 1) + after for before, after in zip(prompts, written, strict=True)]
    return ids, mask, right_pad([[*row, IGNORE] for row in labels], IGNORE)[0]


@torch.no_grad()
def answers(model: Decoder, words: WordTokenizer, prompts: Sequence[list[str]], most: int) -> Int[Tensor, "batch most"]:
    """Write what comes after each prompt, the likeliest token each time: at most `most` tokens, padded with PAD.

    Shapes: returns (batch, most).

    >>> from course_lib.decoder import DecoderConfig
    >>> words = WordTokenizer([["who", "?"]])
    >>> model = Decoder(DecoderConfig(vocab_size=words.vocab_size, d_model=8, num_layers=1, num_heads=2, d_ff=8))
    >>> answers(model, words, [["who", "?"], ["?"]], most=3).shape
    torch.Size([2, 3])
    """
    ids, mask = left_pad([words.encode(prompt) for prompt in prompts], PAD)
    out = generate(model, ids, most, mask=mask, stop_ids=EOS, pad_id=PAD)
    return F.pad(out, (0, most - out.shape[1]), value=PAD)


def exactly_right(
    model: Decoder, words: WordTokenizer, drawn: Sequence[Record], task: str, form: Form = behind
) -> float:
    """Give the share of answers that are right to the last word. form: makes the prompt of what is read and the task.

    >>> from course_lib.decoder import DecoderConfig
    >>> from course_lib.worlds.records import records
    >>> drawn = records(2, torch.Generator().manual_seed(0))
    >>> sizes = {"vocab_size": words_of(drawn).vocab_size, "d_model": 8, "num_layers": 1, "num_heads": 2, "d_ff": 8}
    >>> untaught = Decoder(DecoderConfig(**sizes, max_len=128), torch.Generator().manual_seed(0))
    >>> exactly_right(untaught, words_of(drawn), drawn, "german")
    0.0
    """
    asked = [examples(record)[task] for record in drawn]
    wanted, _ = right_pad([words.encode(answer, eos=True) for _, answer in asked], PAD)
    written = answers(model, words, [form(read, task) for read, _ in asked], wanted.shape[1])
    return (written == wanted).all(-1).double().mean().item()


def by_rule(drawn: Sequence[Record], task: str) -> float:
    """Give the share that the task's rule in RULES has right.

    >>> from course_lib.worlds.records import records
    >>> by_rule(records(20, torch.Generator().manual_seed(0)), "german")
    0.0
    """
    return fmean(RULES[task](read) == answer for read, answer in (examples(record)[task] for record in drawn))
