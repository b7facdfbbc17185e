"""Each task makes batches that fit its head, can be learned, and is held against a rule that was worked out apart."""

import pytest
import torch

from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.objectives import IGNORE
from course_lib.reading_tasks import ANSWER, MATCH, NAMES, SECTOR, STAFF, TASKS, words_of
from course_lib.training import Recipe, shuffled, train
from course_lib.worlds import retrieval, views
from course_lib.worlds.records import records
from course_lib.worlds.special_tokens import UNK
from course_lib.worlds.texts import document

SIZES = {"d_model": 24, "num_layers": 1, "num_heads": 3, "d_ff": 48, "max_len": 96}
FEW = records(12, torch.Generator().manual_seed(0), "train")
WORDS = words_of(FEW)
by_name = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


def body(kind=Encoder, config=EncoderConfig):
    return kind(config(vocab_size=WORDS.vocab_size, **SIZES), torch.Generator().manual_seed(1))


class Answering(torch.nn.Module):
    """Gives what it was told to, whatever is asked."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, *batch):
        return self.answer


@by_name
def test_a_batch_begins_with_padded_texts_and_their_masks(task):
    ids, mask, *_ = task.rows(FEW, WORDS)
    assert mask.shape == (len(ids), 1, 1, ids.shape[1])
    assert torch.equal(ids != 0, mask[:, 0, 0])
    assert len(ids) == len(FEW) * (6 if task is ANSWER else 1)


@by_name
@pytest.mark.parametrize(("kind", "config"), [(Encoder, EncoderConfig), (Decoder, DecoderConfig)])
def test_both_kinds_of_body_learn_what_they_are_shown(task, kind, config):
    generator = torch.Generator().manual_seed(2)
    model = task.put_on(body(kind, config), generator)
    batch = task.rows(FEW[:4], WORDS)
    recipe = Recipe(steps=40, learning_rate=3e-3, warmup=5)
    history = train(model, shuffled(batch, len(batch[0]), generator), task.loss, recipe, progress=False)
    assert history.loss[-1] < history.loss[0] / 2


def test_an_answer_is_a_span_of_question_and_text():
    ids, _, spans = ANSWER.rows(FEW[:2], WORDS)
    asked = [question for record in FEW[:2] for question in views.questions(record)]
    for row, (start, end), question in zip(ids, spans.tolist(), asked, strict=True):
        assert row[start : end + 1].tolist() == WORDS.encode(question.answer)


def test_scores_of_right_and_wrong_answers():
    batch = SECTOR.rows(FEW, WORDS)
    logits = torch.nn.functional.one_hot(batch[2], len(views.SECTOR_NAMES)).float()
    assert SECTOR.score(Answering(logits), batch) == 1
    assert SECTOR.score(Answering(-logits), batch) == 0

    batch = NAMES.rows(FEW, WORDS)
    real = batch[2] != IGNORE
    none = torch.zeros(*batch[2].shape, len(views.TAGS)).index_fill(-1, torch.tensor([0]), 1.0)
    assert NAMES.score(Answering(none), batch) == pytest.approx((batch[2][real] == 0).double().mean().item())

    batch = STAFF.rows(FEW, WORDS)
    assert STAFF.score(Answering(batch[2] + 0.25), batch) == pytest.approx(25, abs=1e-3)

    batch = ANSWER.rows(FEW, WORDS)
    start, end = (torch.zeros(batch[0].shape).scatter(1, batch[2][:, [side]], 5.0) for side in (0, 1))
    assert ANSWER.score(Answering((start, end)), batch) == 1
    assert ANSWER.score(Answering((start.roll(1, 1), end)), batch) < 0.5

    batch = MATCH.rows(FEW, WORDS)
    assert MATCH.score(Answering(torch.eye(len(FEW))), batch) == 1
    assert MATCH.score(Answering(torch.eye(len(FEW)).roll(1, 0)), batch) == 0


def test_the_rules_are_those_one_would_write_by_hand():
    new = records(200, torch.Generator().manual_seed(3), "test")
    assert SECTOR.rule(FEW, new) == pytest.approx(0.5, abs=0.1)  # two firms are named, one of them first
    assert NAMES.rule(FEW, FEW) > NAMES.rule(FEW, new) > 0.8
    assert STAFF.rule(FEW, new) > 20
    assert ANSWER.rule(FEW[:1], FEW[:1]) == 1  # it saw the one text it is asked about
    assert MATCH.rule(FEW, FEW[:1]) == 1  # the only text there is


def test_every_word_is_known_to_the_tokenizer_of_the_same_records():
    rows = [document(record).tokens for record in FEW] + [retrieval.query(record) for record in FEW]
    assert UNK not in [word for row in rows for word in WORDS.encode(row)]
