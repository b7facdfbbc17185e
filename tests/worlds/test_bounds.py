"""The best that any model can do, against the definition, by hand and by drawing."""

import math

import pytest
import torch

from course_lib.worlds import english
from course_lib.worlds.bounds import fill_bound, write_bound
from course_lib.worlds.language import Language

COPY = Language({"S": [(3, "a a ."), (1, "b b .")]}, "S")


def test_filling_by_hand():
    # All words masked: nothing is known of the first and of the second word, and the full stop is certain.
    bound = fill_bound(COPY, count=5, rate=1)
    surprise = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert bound == pytest.approx((2 / 3 * surprise, (0.75 + 0.75 + 1) / 3, 0, 0, 15), abs=1e-12)


def test_filling_in_the_mean_by_hand():
    # A word is unknown only if its twin is masked too: half the time. The full stop is always known.
    bound = fill_bound(COPY, count=20_000, rate=0.5, generator=torch.Generator().manual_seed(0))
    surprise = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert abs(bound.loss - surprise / 3) < 5 * bound.loss_error  # 5 standard errors
    assert abs(bound.accuracy - (0.875 + 0.875 + 1) / 3) < 5 * bound.accuracy_error
    assert 0 < bound.loss_error < 0.01


def test_the_best_filler_reaches_the_bound(record_property):
    """What the exact distribution scores on fresh sentences is the bound, within 5 standard errors of both."""
    language, generator = english.default(), torch.Generator().manual_seed(0)
    bound = fill_bound(language, count=2000, generator=generator)
    record_property("measured", f"filling 15 %: {bound}")
    sentences = language.sample(2000, generator)
    losses, hits = [], []
    hidden = [torch.rand(len(sentence), generator=generator) < 0.15 for sentence in sentences]
    shown = [["<mask>" if hide else word for word, hide in zip(sentence, hides, strict=True)]
             for sentence, hides in zip(sentences, hidden, strict=True)]  # fmt: skip
    known = language.masked_probabilities(shown)
    for sentence, hides, words in zip(sentences, hidden, known, strict=True):
        ids = language.tokenizer.encode(sentence)
        for place in hides.nonzero().flatten().tolist():
            losses.append(-words[place, ids[place]].log())
            hits.append(words[place].argmax() == ids[place])
    for scores, best, error in ((losses, bound.loss, bound.loss_error), (hits, bound.accuracy, bound.accuracy_error)):
        scores = torch.tensor(scores, dtype=torch.float64)
        assert abs(scores.mean() - best) < 5 * math.hypot(scores.std() / math.sqrt(len(scores)), error)


def test_writing_by_hand():
    bound = write_bound(COPY)
    surprise = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert bound.reached == pytest.approx([1, 1, 1, 1])
    assert bound.accuracy_at == pytest.approx([0.75, 1, 1, 1])
    assert bound.loss_at == pytest.approx([surprise, 0, 0, 0])
    assert (bound.loss, bound.accuracy) == pytest.approx((surprise / 4, 3.75 / 4))


def test_the_losses_of_all_positions_are_the_entropy(record_property):
    language = english.default()
    bound = write_bound(language)
    record_property("measured", f"writing: accuracy {bound.accuracy:.4f}, by position "
                                + " ".join(f"{share:.3f}" for share in bound.accuracy_at))  # fmt: skip
    assert math.isclose(bound.loss, language.entropy_per_token, rel_tol=1e-9)
    assert math.isclose(sum(bound.reached), language.mean_length + 1, rel_tol=1e-9)


def test_writing_at_each_position_is_what_draws_show():
    language = english.default()
    bound = write_bound(language)
    drawn = language.sample(5000, torch.Generator().manual_seed(0))
    best = language.next_token_probabilities(drawn).amax(-1)
    going_on = torch.arange(best.shape[1]) <= torch.tensor([len(sentence) for sentence in drawn])[:, None]
    for place in range(best.shape[1]):
        values = best[going_on[:, place], place]
        error = values.std() / math.sqrt(len(values)) if len(values) > 30 else 1
        assert abs(values.mean() - bound.accuracy_at[place]) < 5 * error + 1e-9  # 5 standard errors


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ValueError, match=r"^count must be at least 1, got 0$"):
        fill_bound(COPY, count=0)
    with pytest.raises(ValueError, match=r"^rate must be above 0 and at most 1, got 0$"):
        fill_bound(COPY, rate=0)
    with pytest.raises(ValueError, match=r"^at least one word must be masked, got none in 1 sentences at rate 1e-09$"):
        fill_bound(COPY, count=1, rate=1e-9, generator=torch.Generator().manual_seed(0))
