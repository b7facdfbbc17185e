"""DeBERTa: the same weights give the same numbers as in the published implementation, or are refused."""

import math
from dataclasses import replace

import pytest
import torch

from course_lib import zoo
from course_lib.config import Sizes
from course_lib.heads import MaskedLM
from course_lib.zoo import catalogue
from course_lib.zoo.deberta import Deberta
from tests.zoo import published
from tests.zoo.published import BATCH, MODELS, change_settings, change_tensors, deberta, deberta_v2, refusal, saved
from tests.zoo.test_published import assert_equal, assert_same_weights, every_dtype, every_side, pair
from tests.zoo.test_published import padding as real_tokens

KINDS = [kind for kind in MODELS if kind.startswith("deberta")]
# The distances end at 7 and at 17 - 1, so that 29 tokens reach beyond both; 53 are more than max_position_embeddings.
LENGTHS = (1, 2, 11, 29, 53)


@pytest.fixture(autouse=True)
def exact_in_float64(monkeypatch):
    """The published models divide by a root in float32, and the first normalises in it, whatever they are given."""

    def norm(self, x):
        variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        return self.weight * (x - mean) * torch.rsqrt(variance + self.variance_epsilon) + self.bias

    def root(x, scale_factor):
        return torch.tensor(math.sqrt(x.shape[-1] * scale_factor), dtype=x.dtype)

    monkeypatch.setattr("transformers.models.deberta.modeling_deberta.DebertaLayerNorm.forward", norm)
    for version in ("deberta.modeling_deberta", "deberta_v2.modeling_deberta_v2"):
        monkeypatch.setattr(f"transformers.models.{version}.scaled_size_sqrt", root)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


# The published implementation


@every_dtype
@every_side
@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_and_logits(tmp_path, kind, side, dtype, tolerance):
    theirs, ours = pair(MODELS[kind](), tmp_path, dtype)
    assert isinstance(ours, MaskedLM if "head" in kind else Deberta)
    moved = 0.0
    for seq in LENGTHS:
        tokens, real = published.ids(seq=seq), real_tokens(side, seq)
        expected = theirs(tokens, attention_mask=real.long())[0]
        got = ours(tokens, real[:, None, None])
        assert_equal(got, expected, tolerance, real)
        if side == "none":
            assert_equal(ours(tokens), expected, tolerance)
        else:
            moved = max(moved, (got - ours(tokens))[real].abs().max().item())
    assert side == "none" or moved > 0.01  # the mask matters, a hundred times more than the largest tolerance


@every_dtype
@pytest.mark.parametrize("make", [deberta, deberta_v2])
def test_a_mask_of_pairs(tmp_path, make, dtype, tolerance):
    """Their model takes no such mask, but what it is made of does."""
    theirs, ours = pair(make(), tmp_path, dtype)
    tokens = published.ids(seq=29)
    allowed = torch.rand(BATCH, 1, 29, 29, generator=torch.Generator().manual_seed(0)) < 0.5
    allowed |= torch.eye(29, dtype=torch.bool)
    expected = theirs.encoder(theirs.embeddings(tokens), allowed.long()).last_hidden_state
    assert_equal(ours(tokens, allowed), expected, tolerance)


@pytest.mark.parametrize("make", [deberta, deberta_v2])
@pytest.mark.parametrize(
    "changed",
    [
        {"max_relative_positions": -1},
        {"pos_att_type": "p2c|c2p"},
        {"pos_att_type": ["p2c", "c2p"]},
        {"hidden_act": "gelu_new"},
        {"num_attention_heads": 13},
        {"legacy": False},
    ],
    ids=str,
)
def test_settings(tmp_path, make, changed):
    theirs, ours = pair(make(**changed), tmp_path, torch.float64)
    if "pos_att_type" in changed:  # which is put in order when it is read
        change_settings(tmp_path, **changed)
        ours = zoo.load(tmp_path, torch.float64)
    tokens = published.ids(seq=53)
    assert_equal(ours(tokens), theirs(tokens)[0], 1e-9)


@pytest.mark.parametrize("most", [11, 12, 17, 40])
@pytest.mark.parametrize("buckets", [4, 5, 8, 13])
def test_other_buckets(tmp_path, buckets, most):
    theirs = deberta_v2(position_buckets=buckets, max_relative_positions=most)
    theirs, ours = pair(theirs, tmp_path, torch.float64)
    tokens = published.ids(seq=53)
    assert_equal(ours(tokens), theirs(tokens)[0], 1e-9)


@every_dtype
@pytest.mark.parametrize(("make", "kind"), [(deberta, "DebertaForMaskedLM"), (deberta_v2, "DebertaV2ForMaskedLM")])
def test_the_head_as_its_authors_store_it_with_what_we_do_not_need(tmp_path, make, kind, dtype, tolerance):
    theirs = make(kind, legacy=False)
    saved(theirs, tmp_path)
    beyond = {"deberta.embeddings.position_embeddings.weight": torch.ones(37, 26)}
    beyond["deberta.embeddings.position_ids"] = torch.arange(37)[None]
    for part, rows in (("dense", 26), ("classifier", 1)):
        beyond[f"mask_predictions.{part}.weight"] = torch.ones(rows, 26)
        beyond[f"mask_predictions.{part}.bias"] = torch.ones(rows)
    for name in ("weight", "bias"):
        beyond[f"mask_predictions.LayerNorm.{name}"] = torch.ones(26)
    change_tensors(tmp_path, lambda tensors: tensors | beyond)
    ours, theirs = zoo.load(tmp_path, dtype), theirs.to(dtype)
    assert isinstance(ours, MaskedLM)
    assert_equal(ours(published.ids()), theirs(published.ids()).logits, tolerance)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "head" in kind])
def test_copies_stored_with_the_head(tmp_path, kind):
    expected = zoo.load(saved(MODELS[kind](), tmp_path))

    def change(tensors):
        embedding, bias = tensors["deberta.embeddings.word_embeddings.weight"], tensors["cls.predictions.bias"]
        copies = {"cls.predictions.decoder.weight": embedding.clone(), "cls.predictions.decoder.bias": bias.clone()}
        return tensors | copies

    change_tensors(tmp_path, change)
    assert_same_weights(zoo.load(tmp_path), expected)
    change_tensors(tmp_path, lambda tensors: tensors | {"cls.predictions.decoder.bias": torch.ones(101)})
    assert "no place for, such as 'cls.predictions.decoder.bias'" in refusal(tmp_path)


PUBLISHED = {  # what their files say, but for the sizes
    "deberta-base": (deberta, {"max_relative_positions": -1, "max_position_embeddings": 512}),
    "deberta-v3-base": (
        deberta_v2,
        {"max_relative_positions": -1, "max_position_embeddings": 512, "position_buckets": 256},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_named_configuration_is_made_of_the_published_parts(tmp_path, name):
    make, settings = PUBLISHED[name]
    loaded = zoo.load(saved(make(**settings, layer_norm_eps=1e-7), tmp_path), torch.float64)
    sizes = {size: getattr(loaded.config, size) for size in Sizes.__dataclass_fields__}
    ours = catalogue.build(replace(zoo.config(name), **sizes)).eval().double()
    ours.load_state_dict(loaded.state_dict())
    tokens = published.ids(seq=600)  # beyond the 511 at which the distances end
    assert torch.equal(ours(tokens), loaded(tokens))


# What we cannot load


@pytest.mark.parametrize(
    ("kind", "setting", "value", "only"),
    [
        *((kind, *rest) for kind in ("deberta", "deberta-v2") for rest in (
            ("relative_attention", False, True),
            ("position_biased_input", True, False),
            ("type_vocab_size", 2, 0),
            ("embedding_size", 13, 26),
            ("attention_head_size", 26, 13),
            ("talking_head", True, False),
            ("conv_kernel_size", 3, 0),
            ("pos_att_type", ["c2p"], "c2p|p2c"),
            ("pos_att_type", ["c2p", "p2c", "p2p"], "c2p|p2c"),
            ("pos_att_type", None, "c2p|p2c"),
            ("pos_att_type", 12, "c2p|p2c"),
        )),
        ("deberta with a masked-LM head", "hidden_act", "relu", "gelu"),
        ("deberta-v2", "share_att_key", False, True),
        ("deberta-v2", "norm_rel_ebd", "none", "layer_norm"),
    ],
)  # fmt: skip
def test_a_setting_we_cannot_honour(copy, kind, setting, value, only):
    folder = copy(kind)
    change_settings(folder, **{setting: value})
    assert refusal(folder) == f"{setting} of this checkpoint is {value!r}; the course can load {only!r} only."


@pytest.mark.parametrize(
    "missing",
    ["relative_attention", "position_biased_input", "share_att_key", "norm_rel_ebd", "pos_att_type"],
)
def test_what_a_setting_means_that_is_not_there(copy, missing):
    """Their absence means what we cannot load."""
    folder = copy("deberta-v2")
    change_settings(folder, drop=missing)
    assert missing in refusal(folder)


@pytest.mark.parametrize("kind", ["deberta", "deberta-v2"])
@pytest.mark.parametrize("value", [0, -2, None, True, "12", 2**31, [12]], ids=repr)
def test_a_longest_distance_that_is_none(copy, kind, value):
    folder = copy(kind)
    change_settings(folder, max_relative_positions=value)
    assert refusal(folder).startswith(f"max_relative_positions in {folder / 'config.json'} should be a whole number ")


@pytest.mark.parametrize(
    ("kind", "changed", "said"),
    [
        ("deberta", {"num_attention_heads": 3, "attention_head_size": 8}, "d_model must be divisible by num_heads"),
        ("deberta-v2", {"position_buckets": 1}, "span must be at least 2, got 1"),
        ("deberta-v2", {"max_relative_positions": 5}, "max_distance must be more than 5 with a span of 8, got 5"),
        ("deberta", {"max_relative_positions": 8}, "'distances.weight' should have shape (16, 26), got (14, 26)"),
        ("deberta-v2", {"position_buckets": 7}, "'distances.weight' should have shape (14, 26), got (16, 26)"),
        ("deberta-v2", {"model_type": "deberta"}, "in_proj.weight"),
        ("deberta", {"model_type": "deberta-v2", "share_att_key": True}, "norm_rel_ebd"),
    ],
)
def test_settings_that_are_not_of_these_tensors(copy, kind, changed, said):
    folder = copy(kind)
    change_settings(folder, **changed)
    assert said in refusal(folder)


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        (lambda: deberta("DebertaForSequenceClassification"), "classifier.bias"),
        (lambda: deberta_v2("DebertaV2ForTokenClassification"), "classifier.bias"),
        (lambda: deberta_v2(conv_kernel_size=3), "conv_kernel_size"),
    ],
)
def test_a_head_or_a_layer_there_is_no_place_for(tmp_path, model, extra):
    assert extra in refusal(saved(model(), tmp_path))
