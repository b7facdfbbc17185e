"""Beam search against trying everything, and against numbers by hand."""

from functools import partial

import pytest
import torch

from course_lib.beam import beam_search
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.generation import generate
from course_lib.padding import left_pad
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from tests.models import SIZES, ids, talkative

SMALL = SIZES | {"vocab_size": 7}
STOP = 2


def decoder(seed: int = 0) -> Decoder:
    return talkative(Decoder(DecoderConfig(**SMALL, tied=False)), seed)


def everything(model, prompt, new: int, length_penalty: float, stops=()) -> tuple[list[int], float]:
    """Score every possible answer to a prompt (1, n), and give the best."""
    answers = torch.cartesian_prod(*[torch.arange(7)] * new)
    with torch.no_grad():
        logits = model(torch.cat((prompt.expand(len(answers), -1), answers), dim=1))[:, prompt.shape[1] - 1 : -1]
    log_probs = logits.log_softmax(-1).gather(-1, answers[..., None])[..., 0]
    best: tuple[list[int], float] = ([], -torch.inf)
    for answer, log_prob in zip(answers.tolist(), log_probs, strict=True):
        end = next((i + 1 for i, token in enumerate(answer) if token in stops), new)
        score = log_prob[:end].sum().item() / end**length_penalty
        if score > best[1]:
            best = (answer[:end], score)
    return best


def padded(answer: list[int], length: int) -> list[int]:
    return answer + [0] * (length - len(answer))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("stops", [(), (STOP,), (STOP, 5)])
def test_with_room_for_all_answers_the_best_is_found(seed, length_penalty, stops):
    model, prompt = decoder(seed), ids(1, 4, seed) % 7
    expected, score = everything(model, prompt, 3, length_penalty, stops)
    # Room for all, and for all finished ones, so that the search is not ended before it has seen everything.
    found, found_score = beam_search(model, prompt, 3, 7**3, length_penalty, stop_ids=stops)
    assert found[0].tolist() == padded(expected, found.shape[1])
    assert found_score.item() == pytest.approx(score, abs=1e-6)


def test_a_beam_finds_what_greedy_writing_misses():
    """Over many models the beam's answer is never less likely by much, and often more likely."""
    better = 0
    for seed in range(10):
        model, prompt = decoder(seed), ids(1, 4, seed) % 7
        greedy_score = score_of(model, prompt, generate(model, prompt, 4))
        found, score = beam_search(model, prompt, 4, num_beams=5, length_penalty=0.0)
        assert score.item() == pytest.approx(score_of(model, prompt, found), abs=1e-6)
        better += score.item() > greedy_score + 1e-6
    assert better >= 3


def score_of(model, prompt, answer) -> float:
    with torch.no_grad():
        logits = model(torch.cat((prompt, answer), dim=1))[:, prompt.shape[1] - 1 : -1]
    return logits.log_softmax(-1).gather(-1, answer[..., None]).sum().item()


def test_one_beam_is_greedy():
    model = talkative(Decoder(DecoderConfig(**SIZES)))
    written, score = beam_search(model, ids(), 9, num_beams=1)
    assert torch.equal(written, generate(model, ids(), 9))
    assert (score < 0).all()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_of_a_batch_do_not_know_of_one_another(early_stopping):
    model, prompts = decoder(), [[3, 1, 4], [0, 2], [6]]
    together, mask = left_pad(prompts, pad_id=0)
    options = {"stop_ids": (STOP,), "early_stopping": early_stopping}
    found, scores = beam_search(model, together, 8, 3, mask=mask, **options)
    lengths = set()
    for row, prompt in enumerate(prompts):
        alone, score = beam_search(model, torch.tensor([prompt]), 8, 3, **options)
        lengths.add(alone.shape[1])
        assert found[row].tolist() == padded(alone[0].tolist(), found.shape[1])
        assert scores[row].item() == pytest.approx(score.item(), abs=1e-6)
    assert len(lengths) > 1


def write(model, source, tokens):
    return model(source.expand(len(tokens), -1), tokens)


def test_an_encoder_decoder_is_searched_with_what_it_read():
    model = talkative(EncoderDecoder(EncoderDecoderConfig(**SMALL, tied=False)))
    sources, start = ids(2, 5) % 7, torch.zeros(2, 1, dtype=torch.long)
    found, _ = beam_search(model, start, 3, 7**3, memory=model.encode(sources))
    for row in range(2):
        alone = partial(write, model, sources[row : row + 1])
        assert found[row].tolist() == everything(alone, start[:1], 3, 1.0)[0]


def test_a_longer_answer_wins_with_a_higher_penalty():
    lengths = []
    for length_penalty in (-2.0, 0.0, 4.0):
        found, _ = beam_search(decoder(), ids(1, 4) % 7, 8, 5, length_penalty, stop_ids=(STOP,), pad_id=-1)
        lengths.append((found >= 0).sum().item())
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_where_every_token_ends_the_answer_it_has_one_token():
    found, _ = beam_search(decoder(), ids(2, 4) % 7, 8, 3, stop_ids=range(7))
    assert found.shape == (2, 1)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"^num_beams must be at least 1, got 0$"):
        beam_search(decoder(), ids(1, 4) % 7, 3, num_beams=0)
    with pytest.raises(ValueError, match=r"^max_new_tokens must be at least 1, got 0$"):
        beam_search(decoder(), ids(1, 4) % 7, 0)
    with pytest.raises(ValueError, match=r"^prompt and new tokens must fit max_len, got 24 and 23$"):
        beam_search(decoder(), ids(1, 4) % 7, 20)
