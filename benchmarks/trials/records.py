"""Lessons 03 and 04 on the world of records: five heads on one pretrained encoder, three tasks by prompt alone."""

import copy
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.trials.language import Figures, seeded
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.generation import generate
from course_lib.heads import MaskedLM, SequenceClassifier, SequenceRegressor, SpanQA, TokenClassifier, pool
from course_lib.objectives import IGNORE, mask_tokens, masked_lm_loss, token_loss
from course_lib.padding import left_pad, right_pad
from course_lib.training import Recipe, shuffled, train
from course_lib.worlds import baselines, retrieval, views
from course_lib.worlds.records import Record, records
from course_lib.worlds.special_tokens import EOS, FIRST_ORDINARY, MASK, PAD, SEP
from course_lib.worlds.texts import document
from course_lib.worlds.tokenizers import WordTokenizer

READ, LABELLED, TESTED_ON = 12_000, 200, 500


@cache
def tokenizer() -> WordTokenizer:
    drawn = records(3000, seeded(0))
    return WordTokenizer([*views.vocabulary(drawn), *map(retrieval.query, drawn)])


def encode(tokens: list[str]) -> list[int]:
    return tokenizer().encode(tokens)


def padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    return right_pad(rows, PAD)


def sizes() -> dict[str, int]:
    return {"vocab_size": tokenizer().vocab_size, "d_model": 96, "num_layers": 2, "num_heads": 4, "d_ff": 384}


def pretrained(seed: int, steps: int) -> tuple[Encoder, float]:
    generator = seeded(seed)
    data = padded([encode(document(record).tokens) for record in records(READ, generator, "train")])
    model = MaskedLM(Encoder(EncoderConfig(**sizes(), max_len=96), generator), generator)

    def loss(model: MaskedLM, batch: tuple[Tensor, Tensor]) -> Tensor:
        ids, mask = batch
        vocab_size, special = tokenizer().vocab_size, range(FIRST_ORDINARY)
        inputs, labels = mask_tokens(ids, MASK, vocab_size, special, rate=0.3, generator=generator)
        return masked_lm_loss(model(inputs, mask), labels)

    recipe = Recipe(steps=steps, learning_rate=2e-3, warmup=50)
    history = train(model, shuffled(data, 64, generator), loss, recipe, generator=generator, progress=False)
    return model.encoder, history.seconds


def taught(head: nn.Module, data: tuple[Tensor, ...], loss, generator: torch.Generator, steps: int = 200) -> nn.Module:
    recipe = Recipe(steps=steps, learning_rate=1e-3, warmup=20)
    train(head, shuffled(data, 64, generator), loss, recipe, generator=generator, progress=False)
    return head


def classify(encoder: Encoder, taught_on: list[Record], tested_on: list[Record], generator) -> Figures:
    def data(some: list[Record]) -> tuple[Tensor, ...]:
        rows, labels = zip(*map(views.sector, some), strict=True)
        return *padded([encode(row) for row in rows]), torch.tensor(labels)

    head = SequenceClassifier(encoder, len(views.SECTOR_NAMES), generator=generator)
    taught(head, data(taught_on), lambda m, b: F.cross_entropy(m(*b[:2]), b[2]), generator)
    ids, mask, labels = data(tested_on)
    with torch.no_grad():
        right = head(ids, mask).argmax(-1) == labels
    first = torch.tensor([baselines.first_sector(document(record).tokens) for record in tested_on]) == labels
    return {"sector, accuracy": right.double().mean().item(), "sector, first product": first.double().mean().item()}


def tag(encoder: Encoder, taught_on: list[Record], tested_on: list[Record], generator) -> Figures:
    def data(some: list[Record]) -> tuple[Tensor, ...]:
        pairs = [views.tag(record) for record in some]
        labels, _ = right_pad([[views.TAGS.index(name) for name in pair.target] for pair in pairs], IGNORE)
        return *padded([encode(pair.source) for pair in pairs]), labels

    head = TokenClassifier(encoder, len(views.TAGS), generator=generator)
    taught(head, data(taught_on), lambda m, b: token_loss(m(*b[:2]), b[2]), generator)
    ids, mask, labels = data(tested_on)
    with torch.no_grad():
        found = head(ids, mask).argmax(-1)
    real = labels != IGNORE
    return {
        "tags, accuracy": (found == labels)[real].double().mean().item(),
        "tags, all O": (labels == 0)[real].double().mean().item(),
    }


def answer(encoder: Encoder, taught_on: list[Record], tested_on: list[Record], generator) -> Figures:
    def data(some: list[Record]) -> tuple[Tensor, ...]:
        asked = [question for record in some for question in views.questions(record)]
        rows = [[*encode(one.question), SEP, *encode(one.context)] for one in asked]
        shift = [len(one.question) + 1 for one in asked]
        spans = [[one.start + s, one.end + s] for one, s in zip(asked, shift, strict=True)]
        return *padded(rows), torch.tensor(spans)

    def loss(model: SpanQA, batch: tuple[Tensor, ...]) -> Tensor:
        start, end = model(*batch[:2])
        return F.cross_entropy(start, batch[2][:, 0]) + F.cross_entropy(end, batch[2][:, 1])

    head = taught(SpanQA(encoder, generator), data(taught_on), loss, generator)
    ids, mask, spans = data(tested_on)
    with torch.no_grad():
        start, end = head(ids, mask)
    right = (start.argmax(-1) == spans[:, 0]) & (end.argmax(-1) == spans[:, 1])
    return {"answers, exact": right.double().mean().item()}


def regress(encoder: Encoder, taught_on: list[Record], tested_on: list[Record], generator) -> Figures:
    def data(some: list[Record]) -> tuple[Tensor, ...]:
        rows, numbers = zip(*map(views.staff, some), strict=True)
        return *padded([encode(row) for row in rows]), torch.tensor(numbers) / 100

    head = SequenceRegressor(encoder, generator=generator)
    taught(head, data(taught_on), lambda m, b: F.mse_loss(m(*b[:2]), b[2]), generator)
    ids, mask, numbers = data(tested_on)
    with torch.no_grad():
        off = (head(ids, mask) - numbers).abs().mean().item() * 100
    return {"staff, mean error": off, "staff, error of the mean": (numbers - numbers.mean()).abs().mean().item() * 100}


def match(encoder: Encoder, taught_on: list[Record], tested_on: list[Record], generator) -> Figures:
    def data(some: list[Record]) -> tuple[Tensor, ...]:
        queries = padded([encode(retrieval.query(record)) for record in some])
        return *queries, *padded([encode(document(record).tokens) for record in some])

    def similarities(model: Encoder, batch: tuple[Tensor, ...]) -> Tensor:
        query, text = (F.normalize(pool(model(*batch[i : i + 2]), batch[i + 1]), dim=-1) for i in (0, 2))
        return query @ text.T

    def loss(model: Encoder, batch: tuple[Tensor, ...]) -> Tensor:
        return F.cross_entropy(similarities(model, batch) / 0.05, torch.arange(len(batch[0])))

    taught(encoder, data(taught_on), loss, generator)
    with torch.no_grad():
        best = similarities(encoder, data(tested_on)).argmax(-1)
    return {"match among 500": (best == torch.arange(len(best))).double().mean().item()}


def five_heads(seed: int) -> Figures:
    """Lesson 03: one pretrained encoder, five heads, each beside a baseline and an encoder that was not pretrained."""
    generator = seeded(100 + seed)
    taught_on, tested_on = records(LABELLED, generator, "train"), records(TESTED_ON, seeded(7), "test")
    encoder, seconds = pretrained(seed, steps=800)
    fresh = Encoder(EncoderConfig(**sizes(), max_len=96), generator)
    figures = {"seconds of pretraining": seconds}
    for task in (classify, tag, answer, regress, match):
        figures |= task(copy.deepcopy(encoder), taught_on, tested_on, generator)
        again = task(copy.deepcopy(fresh), taught_on, tested_on, generator)
        first = next(iter(again))
        figures[f"{first}, not pretrained"] = again[first]
    return figures


def three_tasks_by_prompt(seed: int) -> Figures:
    """Lesson 04: one small decoder classifies, translates and extracts, told by the prompt alone what to do."""
    generator = seeded(seed)

    def examples(some: list[Record]) -> dict[str, list[tuple[list[int], list[int]]]]:
        made: dict[str, list[tuple[list[int], list[int]]]] = {"sector": [], "german": [], "city": []}
        for record in some:
            text, label = views.sector(record)
            made["sector"].append((text, [views.SECTOR_NAMES[label]]))
            pair = views.translate(record)
            made["german"].append((pair.source, pair.target))
            question = next(one for one in views.questions(record) if one.fact == "city")
            made["city"].append((text, question.answer))
        return made

    words = WordTokenizer([tokenizer().tokens[FIRST_ORDINARY:], [*views.SECTOR_NAMES, "sector", "german", "city", ":"]])
    written = {
        task: [(words.encode([*text, task, ":"]), words.encode(answer, eos=True)) for text, answer in pairs]
        for task, pairs in examples(records(6000, generator, "train")).items()
    }
    rows = [prompt + answer for pairs in written.values() for prompt, answer in pairs]
    asked = [len(prompt) for pairs in written.values() for prompt, _ in pairs]
    ids, mask = right_pad(rows, PAD)
    wanted = F.pad(ids[:, 1:], (0, 1)).masked_fill(~F.pad(mask[:, 0, 0, 1:], (0, 1)), IGNORE)
    for row, prompt in zip(wanted, asked, strict=True):
        row[: prompt - 1] = IGNORE  # only answers are learned
    model = Decoder(DecoderConfig(**sizes() | {"vocab_size": words.vocab_size}, max_len=128), generator)
    recipe = Recipe(steps=500, learning_rate=3e-3, warmup=50)
    history = train(
        model,
        shuffled((ids, mask, wanted), 64, generator),
        lambda m, b: token_loss(m(b[0], b[1]), b[2]),
        recipe,
        generator=generator,
        progress=False,
    )
    figures = {"seconds": history.seconds}
    for task, pairs in examples(records(300, seeded(7), "test")).items():
        prompts, prompt_mask = left_pad([words.encode([*text, task, ":"]) for text, _ in pairs], PAD)
        answers, _ = right_pad([words.encode(answer, eos=True) for _, answer in pairs], PAD)
        out = generate(model, prompts, answers.shape[1], mask=prompt_mask, stop_ids=EOS, pad_id=PAD)
        out = F.pad(out, (0, answers.shape[1] - out.shape[1]), value=PAD)
        figures[f"{task}, exact"] = (out == answers).all(-1).double().mean().item()
    return figures


EXPERIMENTS = (five_heads, three_tasks_by_prompt)
