"""Lesson 06 on number words: translation, alignment, and what a source's padding does when it is not masked."""

from functools import cache

import torch
from torch import Tensor

from benchmarks.trials.language import Figures, seeded
from course_lib.attention_maps import attention_maps
from course_lib.generation import generate
from course_lib.objectives import IGNORE, shift_right, token_loss
from course_lib.padding import right_pad
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from course_lib.training import Recipe, shuffled, train
from course_lib.worlds.numbers import LANGUAGES, LARGEST, NumberPair, number_pairs, words
from course_lib.worlds.special_tokens import BOS, EOS, PAD
from course_lib.worlds.tokenizers import WordTokenizer

TRAINED_ON, TESTED_ON = 20_000, 1_000
EXACT = 0.99


@cache
def tokenizer() -> WordTokenizer:
    return WordTokenizer(words(number, language) for language in LANGUAGES for number in range(0, LARGEST, 7))


def encoded(pairs: list[NumberPair]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sources, their padding mask, labels and theirs."""
    sources = right_pad([tokenizer().encode(pair.source) for pair in pairs], PAD)
    labels, _ = right_pad([tokenizer().encode(pair.target, eos=True) for pair in pairs], IGNORE)
    return *sources, labels, labels[:, None, None] != IGNORE


def loss(model: EncoderDecoder, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    ids, mask, labels, target_mask = batch
    return token_loss(model(ids, shift_right(labels, BOS, PAD), mask, target_mask), labels)


def exact_match(model: EncoderDecoder, test: tuple[Tensor, Tensor, Tensor, Tensor], masked: bool = True) -> float:
    ids, mask, labels, _ = test
    memory = model.encode(ids, mask if masked else None)
    start = torch.full((len(ids), 1), BOS)
    written = generate(model, start, labels.shape[1], memory=memory, stop_ids=EOS, pad_id=PAD)
    written = torch.nn.functional.pad(written, (0, labels.shape[1] - written.shape[1]), value=PAD)
    return (written == labels.masked_fill(labels == IGNORE, PAD)).all(-1).double().mean().item()


def alignment(model: EncoderDecoder, pairs: list[NumberPair]) -> dict[str, float]:
    """For each layer: how often the most attended source token is a true one, where the target token has any."""
    ids, mask, labels, target_mask = encoded(pairs)
    with torch.no_grad():
        maps = attention_maps(model, ids, shift_right(labels, BOS, PAD), mask, target_mask)
    found = {}
    for name, weights in maps.items():
        if "cross" not in name:
            continue
        looked_at = weights.mean(1).argmax(-1)  # (batch, target, ), heads averaged
        hits = total = 0
        for row, pair in enumerate(pairs):
            gold = pair.alignment
            asked = gold.any(-1)
            best = looked_at[row, : len(gold)].clamp(max=gold.shape[1] - 1)
            hits += int(gold.gather(-1, best[:, None])[asked].sum())
            total += int(asked.sum())
        found[f"layer {len(found)}"] = hits / total
    return found


def english_to_german(seed: int) -> Figures:
    """Lesson 06: 0 to 99,999; target: 99 % exact on held-out numbers within 60 s, and alignments against gold."""
    generator = seeded(seed)
    test_pairs = number_pairs(TESTED_ON, seeded(10_000), subset="test")
    train_set, test = encoded(number_pairs(TRAINED_ON, generator, subset="train")), encoded(test_pairs)
    sizes = {"vocab_size": tokenizer().vocab_size, "d_model": 96, "num_layers": 2, "num_heads": 4, "d_ff": 384}
    model = EncoderDecoder(EncoderDecoderConfig(**sizes, max_len=32), generator)
    untrained = alignment(model, test_pairs)
    history = train(
        model,
        shuffled(train_set, 128, generator),
        loss,
        Recipe(steps=800, learning_rate=2e-3, warmup=100, evaluate_every=50),
        evaluate=lambda model: {"exact": exact_match(model, test)},
        until=lambda scores: scores["exact"] >= EXACT,
        generator=generator,
        progress=False,
    )
    figures = {"seconds": history.seconds, "steps": history.steps, "exact": history.last["exact"]}
    figures["exact, source padding not masked"] = exact_match(model, test, masked=False)
    figures |= {f"alignment, {layer}": value for layer, value in alignment(model, test_pairs).items()}
    return figures | {f"alignment untrained, {layer}": value for layer, value in untrained.items()}


EXPERIMENTS = (english_to_german,)
