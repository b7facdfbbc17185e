"""Writing: the cache changes nothing, padding changes nothing, and tokens are drawn with the right odds."""

import itertools
from functools import partial

import pytest
import torch

from course_lib.beam import beam_search
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.generation import Session, generate, sample, stream
from course_lib.masks import create_bidirectional_mask, create_padding_mask, create_prefix_mask
from course_lib.padding import left_pad
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from tests.models import BATCH, DECODER_PARTS, PARTS, SEQ, SIZES, VOCAB, ids, talkative

NEW = 9
PROMPT = ids(seq=5)


def decoder(kind: str = "gpt-2", **more) -> Decoder:
    return talkative(Decoder(DecoderConfig(**SIZES | DECODER_PARTS[kind] | {"tied": False} | more)))


def translator(kind: str = "t5", **more) -> EncoderDecoder:
    return talkative(EncoderDecoder(EncoderDecoderConfig(**SIZES | PARTS[kind] | {"tied": False} | more)))


def by_hand(model: Decoder, prompt: torch.Tensor, new: int) -> torch.Tensor:
    """Greedy writing without any help: run all of it again for each token."""
    tokens = prompt
    with torch.no_grad():
        for _ in range(new):
            tokens = torch.cat((tokens, model(tokens)[:, -1].argmax(-1, keepdim=True)), dim=1)
    return tokens[:, prompt.shape[1] :]


@pytest.mark.parametrize("kind", DECODER_PARTS)
@pytest.mark.parametrize("use_cache", [True, False])
def test_what_is_written_is_what_running_everything_again_gives(kind, use_cache):
    model = decoder(kind)
    written = generate(model, PROMPT, NEW, use_cache=use_cache)
    assert torch.equal(written, by_hand(model, PROMPT, NEW))
    assert written.unique().numel() > 3  # not one token for ever


@pytest.mark.parametrize("kind", DECODER_PARTS)
@pytest.mark.parametrize("use_cache", [True, False])
def test_a_padded_batch_gives_what_each_prompt_alone_gives(kind, use_cache):
    model = decoder(kind)
    prompts = [[3, 1, 4, 1, 5], [9, 2], [6]]
    padded, mask = left_pad(prompts, pad_id=0)
    written = generate(model, padded, NEW, mask=mask, use_cache=use_cache)
    for row, prompt in enumerate(prompts):
        assert torch.equal(written[row], by_hand(model, torch.tensor([prompt]), NEW)[0])


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("use_cache", [True, False])
def test_an_encoder_decoder_writes_with_what_it_read(kind, use_cache):
    model, start = translator(kind), torch.zeros(BATCH, 1, dtype=torch.long)
    mask = create_padding_mask(torch.tensor([SEQ, 6, 2]), SEQ)
    written = generate(model, start, NEW, memory=model.encode(ids(), mask), use_cache=use_cache)
    tokens = start
    with torch.no_grad():
        for _ in range(NEW):
            tokens = torch.cat((tokens, model(ids(), tokens, mask)[:, -1].argmax(-1, keepdim=True)), dim=1)
    assert torch.equal(written, tokens[:, 1:])
    assert written.unique().numel() > 3


def test_rows_end_at_a_stop_token_and_are_padded():
    model = decoder()
    free = generate(model, PROMPT, NEW)
    stops = sorted({free[0, 2].item(), free[1, 4].item()})
    written = generate(model, PROMPT, NEW, stop_ids=stops, pad_id=7)
    ends = []
    for row in range(BATCH):
        stopped = [i for i, token in enumerate(free[row].tolist()) if token in stops]
        ends.append(stopped[0] + 1 if stopped else NEW)
        kept = min(ends[-1], written.shape[1])
        assert torch.equal(written[row, :kept], free[row, :kept])
        assert (written[row, kept:] == 7).all()
    assert written.shape[1] == max(ends)
    assert len(set(ends)) > 1


def test_the_stream_ends_when_all_rows_have():
    model = decoder()
    free = generate(model, PROMPT[:1], NEW)[0].tolist()
    tokens = [token.item() for token in stream(model, PROMPT[:1], NEW, stop_ids=[free[3]])]
    assert tokens == free[: free.index(free[3]) + 1]


def test_a_stream_gives_a_token_before_it_computes_the_next(monkeypatch):
    steps = []
    step = Session.step
    monkeypatch.setattr(Session, "step", lambda self, ids: steps.append(ids.shape[1]) or step(self, ids))
    tokens = stream(decoder(), PROMPT, NEW)
    assert next(tokens).shape == (BATCH,)
    assert steps == [5]
    next(tokens)
    assert steps == [5, 1]  # the prompt once, then one token at a time


def test_a_generator_decides_what_is_drawn():
    model = decoder()
    first, again, other = (
        generate(model, PROMPT, NEW, temperature=9.0, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_temperature_zero_asks_no_generator():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    generate(decoder(), PROMPT, NEW, temperature=0, generator=generator)
    assert torch.equal(generator.get_state(), before)


def test_dropout_is_off_while_writing_and_back_on_after():
    model = decoder(dropout=0.5)
    expected = generate(model, PROMPT, NEW)
    model.train()
    model.stack.blocks[0].eval()  # as someone may who has frozen a part
    modes = [module.training for module in model.modules()]
    assert torch.equal(generate(model, PROMPT, NEW), expected)
    assert [module.training for module in model.modules()] == modes


def test_what_was_written_can_be_learnt_from():
    model = decoder()
    written = generate(model, PROMPT, NEW)
    model(written).sum().backward()
    assert model.embedding.weight.grad is not None


# Drawing.

LOGITS = torch.tensor([[0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0]]).double()
P = LOGITS[0].softmax(-1)  # 0.032, 0.087, 0.237, 0.644


def drawn_odds(draws: int = 20_000, **options) -> torch.Tensor:
    """The share of each token among many draws of the first row."""
    rows = LOGITS[:1].expand(draws, -1)
    tokens = sample(rows, generator=torch.Generator().manual_seed(0), **options)
    return torch.bincount(tokens, minlength=4) / draws


@pytest.mark.parametrize(("options", "expected"), [
    ({}, P),
    ({"temperature": 0.5}, (2 * LOGITS[0]).softmax(-1)),
    ({"temperature": 2.0}, (LOGITS[0] / 2).softmax(-1)),
    ({"top_k": 2}, torch.tensor([0.0, 0.0, P[2], P[3]]) / (P[2] + P[3])),
    ({"top_k": 99}, P),
    ({"top_p": 0.5}, torch.tensor([0.0, 0.0, 0.0, 1.0])),
    ({"top_p": 0.7}, torch.tensor([0.0, 0.0, P[2], P[3]]) / (P[2] + P[3])),  # the one that crosses 0.7 is in
    ({"top_p": 1.0}, P),
    ({"temperature": 2.0, "top_p": 0.5}, torch.tensor([0.0, 0.0, 0.37754, 0.62246])),  # 0.455 + 0.276 crosses
    ({"top_k": 3, "top_p": 0.9}, torch.tensor([0.0, 0.0, P[2], P[3]]) / (P[2] + P[3])),
])  # fmt: skip
def test_tokens_are_drawn_with_the_right_odds(options, expected):
    """Within five standard deviations: one run in some hundred thousand would fail by chance, and the seed is fixed."""
    odds = drawn_odds(**options)
    assert (odds - expected).abs().max() < 5 * 0.5 / 20_000**0.5
    assert ((odds > 0) == (expected > 0)).all()


def test_each_row_has_its_own_best():
    rows = LOGITS.repeat(50, 1)
    for options in ({"temperature": 0}, {"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-30}):
        tokens = sample(rows, **options)
        assert torch.equal(tokens, torch.tensor([3, 0]).repeat(50)), options


def test_logits_of_minus_infinity_are_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0]]).expand(100, -1)
    for options in ({}, {"top_k": 4}, {"top_p": 1.0}, {"temperature": 0.01}):
        assert set(sample(logits, **options).tolist()) == {1, 3}


# What cannot be.


@pytest.mark.parametrize(("options", "message"), [
    ({"temperature": -1.0}, r"^temperature must be at least 0, got -1\.0$"),
    ({"top_k": 0}, r"^top_k must be at least 1, got 0$"),
    ({"top_p": 0.0}, r"^top_p must be above 0 and at most 1, got 0\.0$"),
    ({"top_p": 1.5}, r"^top_p must be above 0 and at most 1, got 1\.5$"),
])  # fmt: skip
def test_drawing_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sample(LOGITS, **options)
    with pytest.raises(ValueError, match=message):
        generate(decoder(), PROMPT, NEW, **options)


def test_writing_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"^max_new_tokens must be at least 1, got 0$"):
        generate(decoder(), PROMPT, 0)
    with pytest.raises(ValueError, match=r"^prompt and new tokens must fit max_len, got 25 and 23$"):
        generate(decoder(), PROMPT, 20)
    with pytest.raises(TypeError, match=r"^an encoder-decoder needs memory=model\.encode\(.*\), got NoneType$"):
        generate(translator(), PROMPT, NEW)
    right = create_padding_mask(torch.tensor([5, 2, 1]), 5)
    with pytest.raises(ValueError, match="prompts must be padded on the left"):
        generate(decoder(), PROMPT, NEW, mask=right)
    for mask in (left_mask(6), left_mask(4), left_mask()[:2]):  # of another length, of another batch
        with pytest.raises(ValueError, match=r"^mask must be a padding mask, \(batch, 1, 1, k_len\) = \(3, 1, 1, 5\)"):
            Session(decoder(), 14, mask).step(PROMPT)


def left_mask(longest: int = 5) -> torch.Tensor:
    return create_padding_mask(torch.tensor([longest, 2, 1]), longest).flip(-1)


def test_what_cannot_be_cached_is_not():
    """Under a bidirectional mask an earlier token would change with each new one."""
    cheating = decoder(mask=create_bidirectional_mask)
    with pytest.raises(ValueError, match="nothing can be cached: use use_cache=False"):
        generate(cheating, PROMPT, NEW)
    assert torch.equal(generate(cheating, PROMPT, NEW, use_cache=False), by_hand(cheating, PROMPT, NEW))
    prefix = decoder(mask=partial(create_prefix_mask, 5))  # of the prompt alone, which is there from the start
    assert torch.equal(generate(prefix, PROMPT, NEW), by_hand(prefix, PROMPT, NEW))
    with pytest.raises(ValueError, match="nothing can be cached"):
        generate(decoder(mask=partial(create_prefix_mask, 6)), PROMPT, NEW)


@pytest.mark.parametrize("options", [{"top_k": 3}, {"top_p": 0.9}, {"generator": torch.Generator().manual_seed(1)}])
def test_whoever_says_how_tokens_are_drawn_has_them_drawn(options):
    model = decoder()
    written = torch.cat([generate(model, PROMPT, NEW, **options) for _ in range(5)])
    assert not torch.equal(written, generate(model, PROMPT, NEW).repeat(5, 1))


@pytest.mark.parametrize("form", [int, lambda stop: [stop], lambda stop: (stop,), lambda stop: torch.tensor(stop)])
def test_stop_tokens_may_come_in_any_form(form):
    model = decoder()
    stop = generate(model, PROMPT[:1], NEW)[0, 3].item()
    expected = generate(model, PROMPT[:1], NEW, stop_ids=[stop])
    assert torch.equal(generate(model, PROMPT[:1], NEW, stop_ids=form(stop)), expected)
    assert expected.shape[1] <= 4


def test_the_longest_that_fits_is_written():
    assert generate(decoder(), PROMPT, 18).shape == (BATCH, 18)


@pytest.mark.parametrize("family", ["decoder", "encoder-decoder"])
@pytest.mark.parametrize("use_cache", [True, False])
def test_a_session_can_go_on_from_other_rows(family, use_cache):
    """After a reorder each row gives what it would have given with the other row's tokens from the start."""
    rows, prompts = torch.tensor([2, 0, 0, 1]), [[3, 1, 4], [9, 2], [6]]
    padded, mask = left_pad(prompts, pad_id=0)
    model = decoder("llama") if family == "decoder" else translator()

    def start(which):
        memory = None
        if family == "encoder-decoder":
            memory = model.encode(ids()[which], create_padding_mask(torch.tensor([SEQ, 6, 2])[which], SEQ))
        session = Session(model, 8, mask[which], memory, use_cache)
        return session, session.step(padded[which])

    session, _ = start(torch.arange(3))
    session.reorder(rows)
    fresh, _ = start(rows)
    for step, token in itertools.product(range(2), [torch.tensor([[5], [7], [8], [1]])]):
        torch.testing.assert_close(session.step(token + step), fresh.step(token + step), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_come_back_wide_enough_to_draw_from(dtype):
    model = decoder().to(dtype)
    assert Session(model, 8).step(PROMPT).dtype == torch.float32
    assert generate(model, PROMPT, 3, temperature=1.0).shape == (BATCH, 3)


def test_every_token_is_one_of_the_vocabulary():
    assert generate(decoder(), PROMPT, NEW, temperature=5.0).max() < VOCAB


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_step_that_fails_leaves_the_session_as_it_was(use_cache):
    padded, mask = left_pad([[3, 1, 4], [9, 2], [6]], pad_id=0)
    session, other = (Session(decoder(), 6, mask, None, use_cache) for _ in range(2))
    token, wrong = torch.tensor([[5], [7], [8]]), torch.tensor([[VOCAB], [0], [0]])
    with pytest.raises(IndexError):
        session.step(padded.masked_fill(padded == 9, VOCAB))
    for each in (session, other):
        each.step(padded)
    with pytest.raises(IndexError):
        session.step(wrong)
    for _ in range(3):
        assert torch.equal(session.step(token), other.step(token))
    with pytest.raises(ValueError, match=r"^tokens must not be more than max_len, got 7 and 6$"):
        session.step(token)


def test_one_mask_serves_all_rows():
    padded, mask = left_pad([[3, 1, 4], [1, 2], [1, 6]], pad_id=0)
    same = mask[1:2]
    for write in (generate, lambda *given, **options: beam_search(*given, **options)[0]):
        expected = write(decoder(), padded, 4, mask=same.expand(3, 1, 1, 3))
        assert torch.equal(write(decoder(), padded, 4, mask=same), expected)


def test_holes_in_a_prompt_are_refused():
    hole = torch.tensor([[[[True, False, True, True, True]]]])
    with pytest.raises(ValueError, match="prompts must be padded on the left"):
        generate(decoder(), PROMPT[:1], NEW, mask=hole)


def test_memory_must_belong_to_the_prompts():
    model = translator()
    with pytest.raises(ValueError, match=r"^memory must be of as many rows as ids, got 2 and 3$"):
        generate(model, torch.zeros(3, 1, dtype=torch.long), NEW, memory=model.encode(ids()[:2]))
    with pytest.raises(TypeError, match="a decoder reads its prompt and takes no memory"):
        generate(decoder(), PROMPT, NEW, memory=model.encode(ids()))
