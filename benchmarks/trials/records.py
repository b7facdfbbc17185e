"""Lessons 03 and 04 on the world of records: five heads on one pretrained encoder, three tasks by prompt alone."""

import copy
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.trials.language import Figures, seeded
from course_lib import reading_tasks
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.generation import generate
from course_lib.heads import MaskedLM
from course_lib.objectives import IGNORE, mask_tokens, masked_lm_loss, token_loss
from course_lib.padding import left_pad, right_pad
from course_lib.training import Recipe, shuffled, train
from course_lib.worlds import views
from course_lib.worlds.records import Record, records
from course_lib.worlds.special_tokens import EOS, FIRST_ORDINARY, MASK, PAD
from course_lib.worlds.texts import document
from course_lib.worlds.tokenizers import WordTokenizer

READ, LABELLED, TESTED_ON = 12_000, 200, 300


@cache
def tokenizer() -> WordTokenizer:
    return reading_tasks.words_of(records(3000, seeded(0)))


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


def five_heads(seed: int) -> Figures:
    """Lesson 03: one pretrained encoder, five heads, each beside a rule and an encoder that was not pretrained."""
    generator = seeded(100 + seed)
    few, new = records(LABELLED, generator, "train"), records(TESTED_ON, seeded(7), "test")
    encoder, seconds = pretrained(seed, steps=400)
    fresh = Encoder(EncoderConfig(**sizes(), max_len=96), generator)
    figures = {"seconds of pretraining": seconds}
    for task in reading_tasks.TASKS:
        for name, body in (("pretrained", encoder), ("fresh", fresh)):
            model = task.put_on(copy.deepcopy(body), generator)
            recipe, batches = Recipe(steps=150, learning_rate=1.5e-3, warmup=20), task.rows(few, tokenizer())
            train(model, shuffled(batches, 64, generator), task.loss, recipe, generator=generator, progress=False)
            with torch.no_grad():
                figures[f"{task.name}, {name}"] = task.score(model, task.rows(new, tokenizer()))
        figures[f"{task.name}, {task.rule_name}"] = task.rule(few, new)
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
    forms = {"": lambda text, task: [*text, task, ":"], ", task in front": lambda text, task: [task, ":", *text]}
    for task, pairs in examples(records(300, seeded(7), "test")).items():
        answers, _ = right_pad([words.encode(answer, eos=True) for _, answer in pairs], PAD)
        for form, build in forms.items():  # only the first was learned
            prompts, prompt_mask = left_pad([words.encode(build(text, task)) for text, _ in pairs], PAD)
            out = generate(model, prompts, answers.shape[1], mask=prompt_mask, stop_ids=EOS, pad_id=PAD)
            out = F.pad(out, (0, answers.shape[1] - out.shape[1]), value=PAD)
            figures[f"{task}, exact{form}"] = (out == answers).all(-1).double().mean().item()
    return figures


EXPERIMENTS = (five_heads, three_tasks_by_prompt)
