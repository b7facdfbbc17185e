"""Lesson 06 on number words: translation, alignment, and what a source's padding does when it is not masked."""

from functools import cache
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.trials.language import Figures, seeded
from course_lib.alignments import alignment_error
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


def alignment_errors(model: EncoderDecoder, pairs: list[NumberPair]) -> Figures:
    """For each layer: the error of its heads' mean, and of the best and the worst head alone."""
    ids, mask, labels, target_mask = encoded(pairs)
    maps = attention_maps(model, ids, shift_right(labels, BOS, PAD), mask, target_mask)
    cross = [weights for name, weights in maps.items() if "cross" in name]
    figures = {}
    for layer, weights in enumerate(cross, 1):
        heads = [mean_error(weights[:, head], pairs) for head in range(weights.shape[1])]
        figures[f"layer {layer}, mean of heads"] = mean_error(weights.mean(1), pairs)
        figures |= {f"layer {layer}, best head": min(heads), f"layer {layer}, worst head": max(heads)}
    return figures


def mean_error(weights: Tensor, pairs: list[NumberPair]) -> float:
    """Over all pairs. weights: (pair, target, source), padded."""
    golds = (pair.alignment for pair in pairs)
    return fmean(
        alignment_error(one[: len(gold), : gold.shape[1]], gold) for one, gold in zip(weights, golds, strict=True)
    )


def english_to_german(seed: int) -> Figures:
    """Lesson 06: 0 to 99,999; target: 99 % exact on held-out numbers within 60 s, and alignments against gold."""
    generator = seeded(seed)
    test_pairs = number_pairs(TESTED_ON, seeded(10_000), subset="test")
    train_set, test = encoded(number_pairs(TRAINED_ON, generator, subset="train")), encoded(test_pairs)
    sizes = {"vocab_size": tokenizer().vocab_size, "d_model": 96, "num_layers": 2, "num_heads": 4, "d_ff": 384}
    model = EncoderDecoder(EncoderDecoderConfig(**sizes, max_len=32), generator)
    untrained = alignment_errors(model, test_pairs)
    recipe = Recipe(steps=500, learning_rate=2e-3, warmup=100)
    history = train(model, shuffled(train_set, 128, generator), loss, recipe, generator=generator, progress=False)
    figures = {"seconds": history.seconds, "exact": exact_match(model, test)}
    figures["exact, source padding not masked"] = exact_match(model, test, masked=False)
    figures |= {f"alignment error, {name}": value for name, value in alignment_errors(model, test_pairs).items()}
    return figures | {f"untrained: {name}": value for name, value in untrained.items()}


EXPERIMENTS = (english_to_german,)
