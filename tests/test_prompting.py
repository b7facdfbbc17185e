"""Prompts are built, scored and beaten by rules as it says, seen from records that were read by hand."""

import pytest
import torch

from course_lib import prompting
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.objectives import IGNORE, token_loss
from course_lib.training import Recipe, shuffled, train
from course_lib.worlds.records import records
from course_lib.worlds.special_tokens import EOS, PAD

FEW = records(4, torch.Generator().manual_seed(0), "train")
WORDS = prompting.words_of(FEW)


@pytest.fixture(scope="module")
def taught() -> Decoder:
    """A decoder that knows these four records by heart."""
    generator = torch.Generator().manual_seed(1)
    sizes = {"d_model": 48, "num_layers": 1, "num_heads": 3, "d_ff": 96, "max_len": 128}
    model = Decoder(DecoderConfig(vocab_size=WORDS.vocab_size, **sizes), generator)
    batches = shuffled(prompting.rows(FEW, WORDS), 12, generator)
    recipe = Recipe(steps=150, learning_rate=5e-3, warmup=5)
    train(model, batches, lambda m, b: token_loss(m(*b[:2]), b[2]), recipe, generator=generator, progress=False)
    return model


def test_a_row_asks_for_the_answer_and_its_end_alone():
    ids, mask, labels = prompting.rows(FEW, WORDS)
    assert len(ids) == 3 * len(FEW)
    pairs = [pair for record in FEW for pair in prompting.examples(record).items()]
    for row, real, asked, (task, (read, answer)) in zip(ids, mask[:, 0, 0], labels, pairs, strict=True):
        whole = [*read, task, ":", *answer]
        assert row[real].tolist() == [*WORDS.encode(whole), EOS]
        assert asked[asked != IGNORE].tolist() == [*WORDS.encode(answer), EOS]
        places = (asked != IGNORE).nonzero().flatten()
        assert places[0] == len(read) + 1  # at the colon
        assert torch.equal(asked[places], row[places + 1])


def test_answers_stand_in_the_text_and_the_german_is_no_copy():
    for record in FEW:
        made = prompting.examples(record)
        read, city = made["city"]
        assert " ".join(city) in " ".join(read)
        assert made["sector"][0] == read
        assert made["german"][0] != made["german"][1]


def test_what_was_learned_by_heart_is_exactly_right_and_another_answer_is_not(taught):
    for task in prompting.RULES:
        assert prompting.exactly_right(taught, WORDS, FEW, task) == 1
    for task, other in (("sector", "city"), ("city", "sector")):
        assert prompting.exactly_right(taught, WORDS, FEW, task, lambda read, _, o=other: [*read, o, ":"]) == 0


def test_written_answers_are_padded_to_the_length_asked_for(taught):
    prompts = [prompting.behind(read, task) for task, (read, _) in prompting.examples(FEW[0]).items()]
    written = prompting.answers(taught, WORDS, prompts, 30)
    assert written.shape == (3, 30)
    for row, (_, answer) in zip(written, prompting.examples(FEW[0]).values(), strict=True):
        assert row.tolist() == [*WORDS.encode(answer), EOS] + [PAD] * (29 - len(answer))


def test_a_rule_gets_what_it_gets_without_reading():
    many = records(100, torch.Generator().manual_seed(3), "test")
    shares = {task: prompting.by_rule(many, task) for task in prompting.RULES}
    assert shares["german"] == 0
    for task in ("sector", "city"):
        right = [prompting.RULES[task](read) == answer for read, answer in (prompting.examples(r)[task] for r in many)]
        assert shares[task] == pytest.approx(sum(right) / 100)
        assert 0.2 < shares[task] < 0.8
