"""Lessons 03 and 04 on the world of records: five heads on one pretrained encoder, three tasks by prompt alone."""

import copy
from functools import cache

import torch
from torch import Tensor

from benchmarks.trials.language import Figures, seeded
from course_lib import prompting, reading_tasks
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.heads import MaskedLM
from course_lib.objectives import mask_tokens, masked_lm_loss, token_loss
from course_lib.padding import right_pad
from course_lib.reading_tasks import Task
from course_lib.training import Recipe, shuffled, train
from course_lib.worlds.records import Record, records
from course_lib.worlds.special_tokens import FIRST_ORDINARY, MASK, PAD
from course_lib.worlds.texts import document
from course_lib.worlds.tokenizers import WordTokenizer

READ, LABELLED, TESTED_ON = 12_000, 200, 300
PROMPT_STEPS = 800
FORMS = {
    "": prompting.behind,
    ", 'the' added": lambda read, task: [*read, "the", task, ":"],
    ", task in front": lambda read, task: [task, *read, ":"],
}


@cache
def tokenizer() -> WordTokenizer:
    return reading_tasks.words_of(records(3000, seeded(0)))


def encode(tokens: list[str]) -> list[int]:
    return tokenizer().encode(tokens)


def padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    return right_pad(rows, PAD)


def sizes() -> dict[str, int]:
    return {"vocab_size": tokenizer().vocab_size, "d_model": 96, "num_layers": 2, "num_heads": 4, "d_ff": 384}


def config() -> EncoderConfig:
    return EncoderConfig(**sizes(), max_len=96)


def pretrained(seed: int, steps: int) -> tuple[Encoder, float]:
    generator = seeded(seed)
    data = padded([encode(document(record).tokens) for record in records(READ, generator, "train")])
    model = MaskedLM(Encoder(config(), generator), generator)

    def loss(model: MaskedLM, batch: tuple[Tensor, Tensor]) -> Tensor:
        ids, mask = batch
        vocab_size, special = tokenizer().vocab_size, range(FIRST_ORDINARY)
        inputs, labels = mask_tokens(ids, MASK, vocab_size, special, rate=0.3, generator=generator)
        return masked_lm_loss(model(inputs, mask), labels)

    recipe = Recipe(steps=steps, learning_rate=2e-3, warmup=50)
    history = train(model, shuffled(data, 64, generator), loss, recipe, generator=generator, progress=False)
    return model.encoder, history.seconds


def taught(
    task: Task, body: Encoder, few: list[Record], new: list[Record], steps: int, generator: torch.Generator
) -> float:
    model = task.put_on(copy.deepcopy(body), generator)
    rows = task.rows(few, tokenizer())
    batches = shuffled(rows, min(64, len(rows[0])), generator)
    recipe = Recipe(steps=steps, learning_rate=1.5e-3, warmup=20)
    train(model, batches, task.loss, recipe, generator=generator, progress=False)
    with torch.no_grad():
        return task.score(model, task.rows(new, tokenizer()))


def five_heads(seed: int) -> Figures:
    """Lesson 03: one pretrained encoder, five heads, each beside a rule and an encoder that was not pretrained."""
    generator = seeded(100 + seed)
    few, new = records(LABELLED, generator, "train"), records(TESTED_ON, seeded(7), "test")
    encoder, seconds = pretrained(seed, steps=400)
    bodies = {"pretrained": encoder, "fresh": Encoder(config(), generator)}
    figures = {"seconds of pretraining": seconds}
    for task in reading_tasks.TASKS:
        for name, body in bodies.items():
            figures[f"{task.name}, {name}"] = taught(task, body, few, new, steps=150, generator=generator)
        figures[f"{task.name}, {task.rule_name}"] = task.rule(few, new)
    return figures


def pretraining_pays(seed: int) -> Figures:
    """Lesson 03: three of the heads taught on 30 texts alone, on a pretrained encoder and on a fresh one."""
    generator = seeded(100 + seed)
    few, new = records(30, generator, "train"), records(TESTED_ON, seeded(7), "test")
    bodies = {"pretrained": pretrained(seed, steps=400)[0], "fresh": Encoder(config(), generator)}
    return {
        f"{task.name}, {name}": taught(task, body, few, new, steps=100, generator=generator)
        for task in (reading_tasks.SECTOR, reading_tasks.NAMES, reading_tasks.ANSWER)
        for name, body in bodies.items()
    }


def three_tasks_by_prompt(seed: int) -> Figures:
    """Lesson 04: one small decoder classifies, translates and extracts, told by the prompt alone what to do."""
    generator = seeded(seed)
    learned_from, asked = records(6000, generator, "train"), records(TESTED_ON, seeded(7), "test")
    words = prompting.words_of(learned_from)
    model = Decoder(DecoderConfig(**sizes() | {"vocab_size": words.vocab_size}, max_len=128), generator)
    recipe = Recipe(steps=PROMPT_STEPS, learning_rate=3e-3)
    history = train(
        model,
        shuffled(prompting.rows(learned_from, words), 64, generator),
        lambda model, batch: token_loss(model(*batch[:2]), batch[2]),
        recipe,
        generator=generator,
        progress=False,
    )
    figures = {"seconds": history.seconds}
    for task in prompting.RULES:
        for name, form in FORMS.items():
            figures[f"{task}, exact{name}"] = prompting.exactly_right(model, words, asked, task, form)
        figures[f"{task}, rule"] = prompting.by_rule(asked, task)
    return figures


EXPERIMENTS = (five_heads, pretraining_pays, three_tasks_by_prompt)
