"""First attempts at repair, by somebody who had not read lesson 05: each gets the name of what it gets wrong."""

import dataclasses
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from types import ModuleType
from typing import Any

import pytest
import torch

from course_lib import exercises, masks
from course_lib.blocks import PostNorm
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.exercises.running import draw
from course_lib.positions import RotaryPositions
from tests.exercises.told import gets_its_name, passes, reads_on_the_card

REPAIR = exercises.lesson("05")[2]


def causal(config):
    return replace(config, mask=masks.create_causal_mask)


def repairs(
    leaks: Callable[[torch.Tensor, int], Any] = lambda mask, n: mask.triu(1).any(),
    lengths: Iterable[int] = range(1, 17),
    give: Callable[..., Any] = causal,
    if_not: Callable[..., Any] = lambda config: config,
) -> Callable[..., Any]:
    def answer(config):
        for n in lengths:
            if leaks(config.mask(n), n):
                return give(config)
        return if_not(config)

    return answer


def returns_in_the_loop(config):
    for n in range(1, 17):
        if config.mask(n).triu(1).any():
            return dataclasses.replace(config, mask=masks.create_causal_mask)
        return config
    return None


def returns_nothing(config):
    for n in range(1, 17):
        if config.mask(n).triu(1).any():
            dataclasses.replace(config, mask=masks.create_causal_mask)


def makes_and_forgets(config):
    for n in range(1, 17):
        if config.mask(n).triu(1).any():
            dataclasses.replace(config, mask=masks.create_causal_mask)
    return config


def returns_upside_down(config):
    for n in range(1, 17):
        if not config.mask(n).triu(1).any():
            return dataclasses.replace(config, mask=masks.create_causal_mask)
    return config


def old_and_causal(config):
    old = config.mask
    return replace(config, mask=lambda n, device=None: old(n, device=device) & masks.create_causal_mask(n, device))


def old_and_causal_if_it_leaks(config):
    return repairs(give=old_and_causal)(config)


def by_hand(config):
    return DecoderConfig(
        vocab_size=config.vocab_size, d_model=config.d_model, num_layers=config.num_layers, num_heads=config.num_heads,
        d_ff=config.d_ff, max_len=config.max_len, num_kv_heads=config.num_kv_heads, head_dim=config.head_dim,
        dropout=config.dropout, mask=masks.create_causal_mask,
    )  # fmt: skip


def by_hand_all_but_two(config):
    return DecoderConfig(
        vocab_size=config.vocab_size, d_model=config.d_model, num_layers=config.num_layers, num_heads=config.num_heads,
        d_ff=config.d_ff, max_len=config.max_len, num_kv_heads=config.num_kv_heads, head_dim=config.head_dim,
        dropout=config.dropout, bias=config.bias, tied=config.tied, norm=config.norm, residual=PostNorm,
        mask=masks.create_causal_mask,
    )  # fmt: skip


def by_name(config):
    return causal(config) if config.mask.__name__ == "create_bidirectional_mask" else config


def by_repr(config):
    return causal(config) if "bidirectional" in repr(config.mask) else config


def by_name_if_any(config):
    return causal(config) if getattr(config.mask, "__name__", "") == "create_bidirectional_mask" else config


def no_mask(config):
    return causal(config) if config.mask.triu(1).any() else config


def no_tensor(config):
    return causal(config) if torch.triu(config.mask, diagonal=1).any() else config


def looks_ahead_in_a_model(config: DecoderConfig, n: int) -> bool:
    """As in find_leak: from outside, through a decoder with this configuration."""
    model = Decoder(config, torch.Generator().manual_seed(1)).eval()
    ids = torch.arange(n)[None] % config.vocab_size
    with torch.no_grad():
        before = model(ids)
        for j in range(1, n):
            changed = ids.clone()
            changed[:, j] = (ids[:, j] + 1) % config.vocab_size
            if (model(changed) != before)[:, :j].any():
                return True
    return False


def from_outside(config):
    """Right, if slow: what the mask lets through shows in the answers of any model."""
    return causal(config) if any(looks_ahead_in_a_model(config, n) for n in range(1, 17)) else config


def from_outside_at_one_length(config):
    return causal(config) if looks_ahead_in_a_model(config, 8) else config


TOLD = [
    (REPAIR, repairs(lambda mask, n: mask.sum() > n * (n + 1) // 2), "the pairs are counted", 2),
    (REPAIR, repairs(lambda mask, n: mask[0, 0, :-1, -1].any()), "only the last column is looked at", 2),
    (REPAIR, old_and_causal, "the old mask is only cut", 2),
    (REPAIR, old_and_causal_if_it_leaks, "the old mask is only cut", 2),
    (REPAIR, repairs(lambda mask, n: mask.triu(1).all()), "no answer leads to a repair", 0),
    (REPAIR, makes_and_forgets, "no answer leads to a repair", 0),
    (REPAIR, returns_in_the_loop, "the loop ends in its first round", 0),
    (REPAIR, lambda config: config, "nothing is repaired", 0),
    (REPAIR, repairs(lambda mask, n: mask.mT.triu(1).any()), "the past is taken for the future", 1),
    (REPAIR, repairs(lambda mask, n: mask.tril(-1).any()), "the past is taken for the future", 1),
    (REPAIR, returns_upside_down, "every mask is replaced", 2),
    (REPAIR, by_hand, "other fields are lost", 2),
    (REPAIR, repairs(give=by_hand), "other fields are lost", 2),
    (REPAIR, repairs(give=by_hand_all_but_two), "other fields are lost", 2),
    (REPAIR, repairs(give=lambda config: asdict(config) | {"mask": masks.create_causal_mask}), "a dict comes back", 0),
    (REPAIR, repairs(give=lambda config: {**vars(config), "mask": masks.create_causal_mask}), "a dict comes back", 0),
    (REPAIR, by_name, "only the bidirectional mask is recognised", 0),
    (REPAIR, by_repr, "only the bidirectional mask is recognised", 0),
    (REPAIR, by_name_if_any, "only the bidirectional mask is recognised", 0),
    (REPAIR, no_mask, "config.mask is taken for a mask", 0),
    (REPAIR, no_tensor, "config.mask is taken for a mask", 0),
    (REPAIR, from_outside_at_one_length, "not all lengths are tried", 2),
    (REPAIR, returns_nothing, None, 0),
]


test_a_first_attempt_gets_its_name = gets_its_name(TOLD)
test_unusual_right_answers_pass = passes(
    [
        (REPAIR, from_outside),
        (REPAIR, repairs(lambda mask, n: mask.mT.tril(-1).any())),
        (REPAIR, repairs(give=lambda c: replace(c, mask=lambda n, device=None: masks.create_causal_mask(n, device)))),
    ],
)


CARDS = [
    (REPAIR, repairs(give=by_hand_all_but_two),
     "Other fields that differ: expected 'none', got 'position, feed_forward'."),
    (REPAIR, repairs(give=asdict), "Expected a DecoderConfig, got a dict."),
    (REPAIR, returns_nothing, "Expected a DecoderConfig, got None: did you forget `return`?"),
    (REPAIR, repairs(give=lambda config: masks.create_causal_mask), "Expected a DecoderConfig, got a function"),
    (REPAIR, returns_upside_down, "Is there a `not` too many in your question?"),
    (REPAIR, repairs(lambda mask, n: mask.sum() > n * (n + 1) // 2), "and nothing before it: The mask at length 2: "),
]  # fmt: skip


test_the_card_says_what_is_wrong_and_where = reads_on_the_card(CARDS)


SELF_MADE = """
def repair(config: DecoderConfig) -> DecoderConfig:
    assert isinstance(config, DecoderConfig)
    Decoder(config)
    if any(config.mask(n).triu(1).any() for n in range(1, 17)):
        return DecoderConfig(**{**vars(config), "mask": masks.create_causal_mask})
    return config
"""
REPLACED = SELF_MADE.replace("DecoderConfig(**{**vars(config), ", "dataclasses.replace(config, **{")


def loaded_anew() -> ModuleType:
    spec = importlib.util.find_spec("course_lib.decoder")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("source", [SELF_MADE, REPLACED])
@pytest.mark.parametrize("imports", ["DecoderConfig", "DecoderConfig, then Decoder", "DecoderConfig; Decoder inside"])
def test_a_class_that_was_loaded_at_another_time_is_as_good(source: str, imports: str):
    """Where answers are graded, the course's modules are loaded anew behind the notebook that imported them."""
    before, between = loaded_anew(), loaded_anew()
    assert before.DecoderConfig is not between.DecoderConfig is not DecoderConfig
    notebook = {"dataclasses": dataclasses, "masks": masks, "DecoderConfig": before.DecoderConfig}
    if imports.endswith("then Decoder"):
        notebook["Decoder"] = between.Decoder
    elif imports.endswith("inside"):
        source = source.replace("    Decoder(", "    from course_lib.decoder import Decoder\n    Decoder(")
    else:
        notebook["Decoder"] = before.Decoder
    exec(source, notebook)
    verdict = REPAIR.grade(notebook["repair"])
    assert verdict.passed, verdict.message


@pytest.mark.parametrize("seed", range(5))
def test_a_decoder_can_be_built_of_every_configuration(seed: int):
    for case in draw(REPAIR.side, seed):
        (config,) = case.args
        assert config.position is RotaryPositions
        assert Decoder(config)(torch.zeros(1, 16, dtype=torch.long)).isfinite().all()
