"""The same weights write the same tokens as in the published implementation, greedily and by beam search."""

from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor

from course_lib import zoo
from course_lib.beam import beam_search
from course_lib.generation import generate
from course_lib.padding import left_pad, right_pad
from tests.zoo.published import bart, gpt2, ids, llama, mistral, saved, t5

VOCAB, NEW, BEAMS = 23, 11, 3
LENGTHS = [7, 2, 5, 3]
PAD = 22  # not 0, for which the published beam search pads with a stop token
SEEDS = range(4)
LIVELY = {"bart": (0, 1, 2, 10, 16)}  # seeds whose rows are not all written alike, where most are
PENALTIES = (-1.0, 0.0, 1.0, 2.0)
DECODERS = {"gpt2": partial(gpt2, n_layer=2), "llama": llama, "mistral": mistral}
every_family = pytest.mark.parametrize("family", [*DECODERS, "t5", "bart"])
EMBEDDINGS = ("wte.weight", "wpe.weight", "shared.weight", "embed_tokens.weight", "embed_positions.weight")
every_number_of_stops = pytest.mark.parametrize("stops", [0, 1, 2])


class Pair:
    """One model in both implementations, and a batch of different prompts, or sources, for it to go on from."""

    def __init__(self, family, seed, folder):
        if family in DECODERS:
            self.theirs = DECODERS[family](vocab_size=VOCAB, seed=seed, tie_word_embeddings=False)
        elif family == "bart":
            more = {"decoder_layers": 2, "untied": True, "pad_token_id": PAD}
            self.theirs = bart(vocab_size=VOCAB, seed=seed, **more)
        else:  # with as many layers on both sides, without which the published cache does not work
            self.theirs = t5(vocab_size=VOCAB, num_decoder_layers=2, seed=seed, untied=True, scaled=False)
        lively(self.theirs)
        self.ours = zoo.load(saved(self.theirs, folder))
        rows = [row[:length] for row, length in zip(ids(4, 7, VOCAB, seed).tolist(), LENGTHS, strict=True)]
        if family in DECODERS:
            self.ids, self.mask = left_pad(rows, pad_id=PAD)
            self.prompt, self.given = self.ids, {"mask": self.mask}
        else:
            self.ids, self.mask = right_pad(rows, pad_id=PAD)
            self.prompt = torch.full((4, 1), self.theirs.config.decoder_start_token_id)
            self.given = {"memory": self.ours.encode(self.ids, self.mask)}
        self.stops = self.tokens_that_come_late()

    def tokens_that_come_late(self) -> list[int]:
        """The tokens that first come after a while in the most rows: stop tokens that end rows at many lengths."""
        rows = self.write_theirs([])[0].tolist()
        return sorted(range(VOCAB), key=lambda token: -sum(token in row[2:] and token not in row[:2] for row in rows))

    def write_theirs(self, stops: list[int], **options) -> tuple[Tensor, Tensor | None]:
        written = self.theirs.generate(
            self.ids,
            attention_mask=self.mask[:, 0, 0].long(),
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=stops or None,
            pad_token_id=PAD,
            return_dict_in_generate=True,
            output_scores=True,
            **options,
        )
        return written.sequences[:, self.prompt.shape[1] :], getattr(written, "sequences_scores", None)


@torch.no_grad()
def lively(model) -> None:
    """Make what was read matter more than biases do, so that not all rows are written alike."""
    for name, parameter in model.named_parameters():
        if name.endswith(EMBEDDINGS):
            parameter *= parameter.shape[1] ** 0.5
        elif name == "lm_head.weight":
            parameter *= 4
        elif name.endswith("ln_f.bias"):
            parameter.zero_()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """All pairs of a family, made once."""
    made = {}

    def give(family) -> list[Pair]:
        if family not in made:
            made[family] = [Pair(family, seed, tmp_path_factory.mktemp(family)) for seed in LIVELY.get(family, SEEDS)]
        return made[family]

    return give


def lengths(written: Tensor, stops: list[int]) -> list[int]:
    """How many tokens each row has up to its first stop token; NEW + 1 without one."""
    return [next((i + 1 for i, token in enumerate(row) if token in stops), NEW + 1) for row in written.tolist()]


def assert_that_rows_end(found: list[int]) -> None:
    """At very different lengths, a good share of them neither at once nor because there was no more room."""
    assert len(set(found)) >= 5
    assert sum(1 < length <= NEW for length in found) >= len(found) / 4


@every_family
@every_number_of_stops
def test_greedy_decoding(pairs, family, stops):
    found = []
    for pair in pairs(family):
        stop_ids = pair.stops[:stops]
        expected, _ = pair.write_theirs(stop_ids)
        for use_cache in (True, False):
            got = generate(
                pair.ours, pair.prompt, NEW, stop_ids=stop_ids, pad_id=PAD, use_cache=use_cache, **pair.given
            )
            assert torch.equal(got, expected)
        found += lengths(expected, stop_ids)
    if stops:
        assert_that_rows_end(found)


@every_family
@pytest.mark.parametrize(("stops", "early_stopping"), [(0, False), *product((1, 2), (False, True))])
def test_beam_search(pairs, family, stops, early_stopping):
    found, answers = [], set()
    for pair, penalty in product(pairs(family), PENALTIES):
        options = {"num_beams": BEAMS, "length_penalty": penalty, "early_stopping": early_stopping}
        stop_ids = pair.stops[:stops]
        expected, expected_scores = pair.write_theirs(stop_ids, **options)
        got, scores = beam_search(pair.ours, pair.prompt, NEW, stop_ids=stop_ids, pad_id=PAD, **options, **pair.given)
        assert torch.equal(got, expected)
        torch.testing.assert_close(scores, expected_scores, rtol=0, atol=1e-4)
        found += lengths(expected, stop_ids)
        answers.add(str(expected.tolist()))
    if stops:
        assert_that_rows_end(found)
        assert len(answers) > len(SEEDS)  # for at least one seed the penalty matters


@every_family
def test_early_stopping_matters_to_some_answers(pairs, family):
    """What keeps the test above from comparing the same thing twice."""
    differing = 0
    for pair in pairs(family):
        options = {"num_beams": BEAMS, "length_penalty": 2.0, "stop_ids": pair.stops[:2], "pad_id": PAD}
        late, early = (
            beam_search(pair.ours, pair.prompt, NEW, early_stopping=early, **options, **pair.given)[0]
            for early in (False, True)
        )
        differing += not torch.equal(late, early)
    assert differing >= 2


@every_family
@pytest.mark.parametrize("beams", [1, 5])
def test_other_numbers_of_beams(pairs, family, beams):
    for pair in pairs(family):
        stop_ids = pair.stops[:2]
        expected, expected_scores = pair.write_theirs(stop_ids, num_beams=beams)
        got, scores = beam_search(pair.ours, pair.prompt, NEW, beams, stop_ids=stop_ids, pad_id=PAD, **pair.given)
        assert torch.equal(got, expected)
        if beams > 1:  # with one beam theirs is greedy decoding, which keeps no scores
            torch.testing.assert_close(scores, expected_scores, rtol=0, atol=1e-4)
