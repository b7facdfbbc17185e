"""The catalogue: exact sizes, as published and by hand, counted without making room for a single weight."""

from dataclasses import replace
from functools import partial

import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional as F

from course_lib import zoo
from course_lib.blocks import GatedFeedForward
from course_lib.config import Sizes
from course_lib.decoder import DecoderConfig
from course_lib.encoder import EncoderConfig
from course_lib.positions import Positions, RelativePositions, RotaryPositions
from course_lib.seq2seq import EncoderDecoderConfig
from course_lib.zoo import catalogue
from course_lib.zoo.bert import BertConfig
from tests.clock import works_within
from tests.zoo.published import bert, gpt2, ids, saved, t5

PUBLISHED = {
    "bert-base-uncased": 109_482_240,
    "bert-large-uncased": 335_141_888,
    "all-minilm-l6-v2": 22_713_216,
    "roberta-base": 124_645_632,
    "roberta-large": 355_359_744,
    "distilbert-base-uncased": 66_362_880,
    "modernbert-base": 149_014_272,
    "modernbert-large": 394_781_696,
    "deberta-base": 138_601_728,
    "deberta-v3-base": 183_831_552,
    "openai-gpt": 116_534_784,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "gpt3-175b": 174_604_259_328,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "mistral-7b": 7_241_732_096,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "t5-3b": 2_851_598_336,
    "t5-11b": 11_307_321_344,
    "flan-t5-small": 76_961_152,
    "flan-t5-base": 247_577_856,
    "flan-t5-large": 783_150_080,
    "flan-t5-xl": 2_849_757_184,
    "flan-t5-xxl": 11_135_332_352,
    "mt5-small": 300_176_768,
    "mt5-base": 582_401_280,
    "mt5-large": 1_229_581_312,
    "mt5-xl": 3_742_619_648,
    "mt5-xxl": 12_921_057_280,
    "bart-base": 139_420_416,
    "bart-large": 406_291_456,
}
WITH_HEADS = {"bert-base-uncased": 110_106_428, "bert-large-uncased": 336_226_108}

Llama = partial(
    DecoderConfig, norm=nn.RMSNorm, position=RotaryPositions, feed_forward=GatedFeedForward, bias=False, tied=False
)
T5V1 = partial(
    EncoderDecoderConfig,
    norm=nn.RMSNorm,
    position=RelativePositions,
    feed_forward=GatedFeedForward,
    head_dim=64,
    bias=False,
    tied=False,
)


@pytest.fixture(scope="module", autouse=True)
def warm():
    """At the first use of the meta device torch imports what it needs for it, which takes a second by itself."""
    zoo.count_parameters(EncoderConfig(vocab_size=1, d_model=1, num_layers=1, num_heads=1, d_ff=1))


@pytest.mark.parametrize("name", zoo.names())
def test_a_count_equals_the_published_one_within_a_second(name):
    with works_within(1):
        assert zoo.count_parameters(name) == PUBLISHED[name]


def test_the_table_has_all_names():
    assert zoo.names() == list(PUBLISHED)


@pytest.mark.parametrize("name", WITH_HEADS)
def test_bert_with_the_heads_it_was_pretrained_with(name):
    assert zoo.count_parameters(name, pretraining=True) == WITH_HEADS[name]


# By hand, with different primes wherever they may be: v tokens, n positions, width d, L layers, h heads of width c,
# g of them for keys and values, f inside the feed-forward layer.
v, n, L, h, g, c, f = 101, 37, 3, 6, 2, 5, 31
d = h * c
NUMBERS = {"vocab_size": v, "d_model": d, "num_layers": L, "num_heads": h, "d_ff": f, "max_len": n}
LINEAR, BIASES = 4 * d * d + 2 * d * f, 3 * d + d + f + d  # of one layer without anything special
NORM = 2 * d
BY_HAND = {
    "encoder": (EncoderConfig(**NUMBERS), v * d + n * d + L * (LINEAR + BIASES + 2 * NORM) + NORM),
    "bert": (
        BertConfig(**NUMBERS, num_token_types=7),
        v * d + n * d + 7 * d + NORM + L * (LINEAR + BIASES + 2 * NORM) + d * d + d,
    ),
    "bert without a pooler": (
        BertConfig(**NUMBERS, pooler=False),
        v * d + n * d + 2 * d + NORM + L * (LINEAR + BIASES + 2 * NORM),
    ),
    "decoder": (DecoderConfig(**NUMBERS), v * d + n * d + L * (LINEAR + BIASES + 2 * NORM) + NORM),
    "decoder, untied": (
        DecoderConfig(**NUMBERS, tied=False),
        2 * v * d + n * d + L * (LINEAR + BIASES + 2 * NORM) + NORM,
    ),
    "decoder, grouped heads": (
        DecoderConfig(**NUMBERS, num_kv_heads=g),
        v * d + n * d + L * (LINEAR + BIASES - 2 * (h - g) * c * (d + 1) + 2 * NORM) + NORM,
    ),
    "decoder, gated": (
        DecoderConfig(**NUMBERS, feed_forward=GatedFeedForward),
        v * d + n * d + L * (LINEAR + BIASES + (d + 1) * f + 2 * NORM) + NORM,
    ),
    "decoder, wide heads, no positions": (
        DecoderConfig(**NUMBERS, head_dim=11, position=Positions),
        v * d + L * (3 * d * h * 11 + 3 * h * 11 + h * 11 * d + d + 2 * d * f + f + d + 2 * NORM) + NORM,
    ),
    "llama": (
        Llama(**NUMBERS | {"num_heads": 3, "num_kv_heads": 1}),  # heads of width 10: a rotation needs it even
        2 * v * d + L * (2 * d * d + 2 * d * 10 + 3 * d * f + 2 * d) + d,
    ),
    "t5": (
        T5V1(**NUMBERS | {"head_dim": 7, "num_decoder_layers": 2, "tied": True}),
        v * d + 2 * 32 * h + L * (4 * d * 42 + 3 * d * f + 2 * d) + d + 2 * (8 * d * 42 + 3 * d * f + 3 * d) + d,
    ),
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_counts_by_hand(kind):
    config, by_hand = BY_HAND[kind]
    assert zoo.count_parameters(config) == by_hand
    built = catalogue.build(config)
    assert sum(parameter.numel() for parameter in built.parameters()) == by_hand


def test_counting_makes_no_room_and_leaves_no_trace(monkeypatch):
    models = []

    def build(config):
        models.append(original(config))
        return models[-1]

    original = catalogue.build
    monkeypatch.setattr(catalogue, "build", build)
    before = torch.get_rng_state()
    zoo.count_parameters("t5-11b")  # 45 GB, if there were room
    zoo.count_parameters("bert-base-uncased", pretraining=True)
    assert len(models) == 2
    for model in models:
        assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.empty(1).device.type == "cpu"


# As the published config.json of each says: the epsilon of its norms, the base of its rotary positions.
EPSILONS = {
    "bert-base-uncased": 1e-12,
    "all-minilm-l6-v2": 1e-12,
    "roberta-large": 1e-5,
    "distilbert-base-uncased": 1e-12,
    "modernbert-base": 1e-5,
    "deberta-base": 1e-7,
    "deberta-v3-base": 1e-7,
    "openai-gpt": 1e-5,
    "gpt2-xl": 1e-5,
    "llama-2-70b": 1e-5,
    "llama-3-8b": 1e-5,
    "mistral-7b": 1e-5,
    "t5-11b": 1e-6,
    "flan-t5-xl": 1e-6,
    "mt5-base": 1e-6,
    "bart-large": 1e-5,
}
BASES = {"llama-2-7b": 1e4, "llama-2-70b": 1e4, "llama-3-8b": 5e5, "mistral-7b": 1e4, "modernbert-large": 1.6e5}
ACTIVATIONS = {  # at -1, where they all differ
    "bert-base-uncased": F.gelu,
    "distilbert-base-uncased": F.gelu,
    "modernbert-base": F.gelu,
    "deberta-v3-base": F.gelu,
    "openai-gpt": partial(F.gelu, approximate="tanh"),
    "gpt2": partial(F.gelu, approximate="tanh"),
    "gpt3-175b": partial(F.gelu, approximate="tanh"),
    "llama-3-8b": F.silu,
    "mistral-7b": F.silu,
    "t5-small": F.relu,
    "flan-t5-small": partial(F.gelu, approximate="tanh"),
    "mt5-small": partial(F.gelu, approximate="tanh"),
    "bart-base": F.gelu,
}


@pytest.mark.parametrize("name", EPSILONS)
def test_norms_have_the_published_epsilon(name):
    assert zoo.config(name).norm(3).eps == EPSILONS[name]


@pytest.mark.parametrize("name", BASES)
def test_rotary_positions_have_the_published_base(name):
    config = zoo.config(name)
    assert config.position(config).base == BASES[name]
    if name == "modernbert-large":
        assert config.local_position(config).base == 1e4


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_the_published_ones(name):
    config, at = zoo.config(name), torch.tensor(-1.0)
    assert config.feed_forward(3, 5, config.bias).activation(at) == ACTIVATIONS[name](at)


def test_mistral_reads_the_last_4096_tokens():
    assert zoo.config("mistral-7b").mask(5000)[0, 0, -1].sum() == 4096
    assert zoo.config("llama-2-7b").mask(5000)[0, 0, -1].sum() == 5000


# What the published implementation has by default is what these models have; only the sizes are ours.
DEFAULTS = {
    "bert-base-uncased": (bert, transformers.BertConfig, ("layer_norm_eps", "max_position_embeddings")),
    "gpt2": (gpt2, transformers.GPT2Config, ("layer_norm_epsilon", "n_positions", "n_inner")),
    "t5-small": (
        t5,
        transformers.T5Config,
        ("layer_norm_epsilon", "relative_attention_num_buckets", "relative_attention_max_distance"),
    ),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_named_configuration_is_made_of_the_published_parts(name, tmp_path):
    make, published, settings = DEFAULTS[name]
    loaded = zoo.load(saved(make(**{setting: getattr(published(), setting) for setting in settings}), tmp_path))
    sizes = {size: getattr(loaded.config, size) for size in Sizes.__dataclass_fields__}
    assert zoo.config(name).max_len == sizes["max_len"]
    tiny = replace(zoo.config(name), **sizes)
    if name == "t5-small":
        tiny = replace(tiny, num_decoder_layers=3)
    if name == "bert-base-uncased":
        tiny = replace(tiny, num_token_types=5)
    ours = catalogue.build(tiny).eval()
    ours.load_state_dict(loaded.state_dict())
    given = (ids(seq=139), ids(seq=139, seed=1)) if name == "t5-small" else (ids(seq=139),)  # beyond T5's 128
    assert torch.equal(ours(*given), loaded(*given))


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("gpt-2", ["gpt2"]),
        ("bert-base", ["bert-base-uncased"]),  # before deberta-base, which has more letters in common
        ("deberta", ["deberta-base", "deberta-v3-base"]),
        ("T5-small", ["t5-small"]),
        ("no such thing", list(PUBLISHED)),
    ],
)
def test_an_unknown_name_is_refused_with_those_like_it(name, suggested):
    for function in (zoo.config, zoo.count_parameters):
        with pytest.raises(ValueError, match=f"^no configuration is called '{name}'; there are ") as error:
            function(name)
        assert set(suggested) <= set(str(error.value).partition("; there are ")[2].split(", "))


@pytest.mark.parametrize(
    "wrong", [None, 12, {"vocab_size": 9}, Sizes(**NUMBERS)], ids=lambda wrong: type(wrong).__name__
)
def test_what_is_no_configuration_is_refused(wrong):
    message = "^config must be an encoder's, a decoder's or an encoder-decoder's, got "
    with pytest.raises(TypeError, match=message + type(wrong).__name__):
        zoo.count_parameters(wrong)


@pytest.mark.parametrize(("name", "kind"), [("gpt2", "Decoder"), ("t5-small", "EncoderDecoder")])
def test_only_bert_has_pretraining_heads_to_add(name, kind):
    with pytest.raises(ValueError, match=f"^only BERT's heads can be added, got a {kind}$"):
        zoo.count_parameters(name, pretraining=True)
