"""The same weights give the same numbers as in the published implementation: every family, mask and file layout."""

import pytest
import torch
from torch import Tensor, nn

from course_lib import zoo
from course_lib.positions import count_positions
from course_lib.zoo.bert import BertForPreTraining
from tests.zoo.published import (
    BATCH,
    MODELS,
    SEQ,
    bert,
    change_settings,
    change_tensors,
    gpt2,
    ids,
    saved,
    t5,
)

LENGTHS = torch.tensor([SEQ, 5, 2])
SIDES = ("none", "right", "left")
LONGEST = 37
every_side = pytest.mark.parametrize("side", SIDES)
# In double precision only rounding of the last places may differ: agreement is no luck of the tolerance.
every_dtype = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)], ids=["float32", "float64"]
)


@pytest.fixture(autouse=True)
def exact_norm_in_t5(monkeypatch):
    """The published T5 takes the mean square in float32, whatever it is given; let it have the precision it is in."""

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    monkeypatch.setattr("transformers.models.t5.modeling_t5.T5LayerNorm.forward", forward)
    monkeypatch.setattr("transformers.models.mt5.modeling_mt5.MT5LayerNorm.forward", forward)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def padding(side: str, seq: int = SEQ) -> Tensor:
    """Which tokens are real, (batch, seq)."""
    if side == "none":
        return torch.ones(BATCH, seq, dtype=torch.bool)
    real = torch.arange(seq) < (LENGTHS * seq // SEQ)[:, None]
    return real if side == "right" else real.flip(1)


def pair(theirs, folder, dtype):
    """Both models in one precision, from one file in float32."""
    saved(theirs, folder)
    return theirs.to(dtype), zoo.load(folder, dtype)


def assert_equal(ours: Tensor, theirs: Tensor, tolerance: float, real: Tensor | None = None) -> None:
    if real is not None:
        ours, theirs = ours[real], theirs[real]
    assert theirs.std() > 0.1  # there is something to compare
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


@every_dtype
@every_side
@pytest.mark.parametrize("positions", ["counted", "in a row"])
@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM", "BertForPreTraining"])
def test_bert(tmp_path, kind, positions, side, dtype, tolerance):
    theirs, ours = pair(bert(kind), tmp_path, dtype)
    real = padding(side)
    token_types = ids(vocab=5, seed=1)  # there are none in the test of the longest sequence
    given, theirs_given = {"token_types": token_types}, {"token_type_ids": token_types}
    if positions == "counted":  # what our encoder does by itself
        theirs_given["position_ids"] = count_positions(real[:, None, None])
    else:
        given["positions"] = torch.arange(SEQ)[None]
    expected = theirs(ids(), attention_mask=real.long(), **theirs_given)
    got = ours(ids(), real[:, None, None], **given)
    assert_equal(got, expected[0], tolerance, real)
    encoder = ours if kind == "BertModel" else ours.encoder
    hidden = encoder.hidden(ids(), real[:, None, None], **given)
    if kind == "BertModel":
        assert_equal(encoder.pooled(hidden), expected.pooler_output, tolerance)
    elif kind == "BertForMaskedLM":
        with pytest.raises(ValueError, match="has no pooler"):
            encoder.pooled(hidden)
    else:
        assert isinstance(ours, BertForPreTraining)
        assert_equal(ours.next_sentence(encoder.pooled(hidden)), expected.seq_relationship_logits, tolerance)


@every_dtype
@every_side
@pytest.mark.parametrize("positions", ["counted", "in a row"])
@pytest.mark.parametrize("kind", ["gpt2", "gpt2 without a head", "gpt2 untied"])
def test_gpt2(tmp_path, kind, positions, side, dtype, tolerance):
    theirs, ours = pair(MODELS[kind](), tmp_path, dtype)
    read = ours.hidden if kind == "gpt2 without a head" else ours
    real = padding(side)
    if positions == "counted":  # what our decoder does by itself
        expected = theirs(ids(), attention_mask=real.long(), position_ids=count_positions(real[:, None, None]))
        got = read(ids(), real[:, None, None])
    else:  # what the published one does by itself
        expected = theirs(ids(), attention_mask=real.long())
        got = read(ids(), real[:, None, None], positions=torch.arange(SEQ)[None])
    assert_equal(got, expected[0], tolerance, real)


@every_dtype
@every_side
@pytest.mark.parametrize("kind", ["t5", "t5 v1.1", "mt5"])
def test_t5_beyond_the_distance_at_which_its_buckets_end(tmp_path, kind, side, dtype, tolerance):
    theirs, ours = pair(MODELS[kind](), tmp_path, dtype)
    source, target = ids(seq=29), ids(seq=23, seed=1)
    real, real_target = padding(side, 29), padding("none" if side == "none" else "right", 23)
    expected = theirs(
        source, attention_mask=real.long(), decoder_input_ids=target, decoder_attention_mask=real_target.long()
    )
    got = ours(source, target, real[:, None, None], real_target[:, None, None])
    assert_equal(got, expected.logits, tolerance, real_target)
    bare = ours(source, target)
    assert_equal(bare, theirs(source, decoder_input_ids=target).logits, tolerance)
    assert side == "none" or ((got - bare)[real_target].abs() > 0.1).any()  # the mask matters


@every_dtype
@pytest.mark.parametrize("kind", ["bert", "bert with both heads", "gpt2", "gpt2 without a head"])
def test_the_longest_sequence_there_are_positions_for(tmp_path, kind, dtype, tolerance):
    theirs, ours = pair(MODELS[kind](), tmp_path, dtype)
    read = ours.hidden if kind == "gpt2 without a head" else ours
    assert_equal(read(ids(seq=LONGEST)), theirs(ids(seq=LONGEST))[0], tolerance)
    with pytest.raises(ValueError, match="must not be longer than max_len, got 38 and 37"):
        read(ids(seq=LONGEST + 1))


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"])
def test_activations(tmp_path, name):
    theirs, ours = pair(bert(hidden_act=name), tmp_path / "bert", torch.float64)
    assert_equal(ours(ids()), theirs(ids())[0], 1e-9)
    theirs, ours = pair(gpt2(activation_function=name, n_inner=None), tmp_path / "gpt2", torch.float64)
    assert_equal(ours(ids()), theirs(ids())[0], 1e-9)
    for projection in (name, f"gated-{name}"):
        theirs, ours = pair(t5(feed_forward_proj=projection), tmp_path / projection, torch.float64)
        assert_equal(ours(ids(), ids(seed=1)), theirs(ids(), decoder_input_ids=ids(seed=1)).logits, 1e-9)


@pytest.mark.parametrize("untied", [True, False], ids=["untied", "tied"])
@pytest.mark.parametrize("scaled", [True, False], ids=["scaled", "not scaled"])
def test_t5_logits_are_scaled_as_the_file_says(tmp_path, untied, scaled):
    theirs, ours = pair(t5(untied=untied, scaled=scaled), tmp_path, torch.float64)
    assert_equal(ours(ids(), ids(seed=1)), theirs(ids(), decoder_input_ids=ids(seed=1)).logits, 1e-9)
    assert ours.config.tied != untied


def test_a_head_of_its_own_in_gpt2_although_the_settings_tie_it(tmp_path):
    theirs = gpt2()
    theirs.lm_head.weight = nn.Parameter(theirs.transformer.wte.weight.flip(0))
    theirs, ours = pair(theirs, tmp_path, torch.float64)
    assert theirs.config.tie_word_embeddings
    assert_equal(ours(ids()), theirs(ids()).logits, 1e-9)
    assert not ours.config.tied


@pytest.mark.parametrize("kind", ["t5", "t5 v1.1"])
def test_t5_logits_are_scaled_as_the_head_says_in_files_of_old(tmp_path, kind):
    theirs, _ = pair(MODELS[kind](), tmp_path, torch.float32)
    change_settings(tmp_path, drop="scale_decoder_outputs", tie_word_embeddings=kind == "t5")
    ours = zoo.load(tmp_path)
    assert_equal(ours(ids(), ids(seed=1)), theirs(ids(), decoder_input_ids=ids(seed=1)).logits, 1e-4)


def assert_same_weights(ours, expected) -> None:
    assert list(ours.state_dict()) == list(expected.state_dict())
    for name, tensor in expected.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor)


@pytest.mark.parametrize("kind", MODELS)
def test_a_checkpoint_in_several_files(tmp_path, kind):
    whole = zoo.load(saved(MODELS[kind](), tmp_path / "whole"))
    parts = saved(MODELS[kind](), tmp_path / "parts", max_shard_size="20KB")
    assert len(list(parts.glob("model-*.safetensors"))) > 1
    assert_same_weights(zoo.load(parts), whole)


@pytest.mark.parametrize("kind", MODELS)
def test_a_checkpoint_in_half_precision(tmp_path, kind):
    theirs = MODELS[kind]().to(torch.bfloat16)
    halves = saved(theirs, tmp_path / "halves")
    # Our scales are rounded once, to the precision asked for: in float32 nothing is lost of what was stored.
    assert_same_weights(zoo.load(halves), zoo.load(saved(theirs.float(), tmp_path / "wide")))
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        assert {parameter.dtype for parameter in zoo.load(halves, dtype).parameters()} == {dtype}


def test_names_of_old_in_bert(tmp_path):
    model = bert("BertForPreTraining")
    expected = zoo.load(saved(model, tmp_path))

    def change(tensors):
        for new, old in (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")):
            assert sum(name.endswith(new) for name in tensors) == 8
            tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
        tensors["bert.embeddings.position_ids"] = torch.arange(LONGEST)[None]
        tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
        tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()
        return tensors

    change_tensors(tmp_path, change)
    assert_same_weights(zoo.load(tmp_path), expected)


@pytest.mark.parametrize("prefix", ["", "transformer."], ids=["as published", "as saved today"])
def test_masks_stored_with_gpt2(tmp_path, prefix):
    expected = zoo.load(saved(gpt2(), tmp_path))

    def change(tensors):
        tensors = {name.replace("transformer.", prefix): tensor for name, tensor in tensors.items()}
        for layer in range(3):
            tensors[f"{prefix}h.{layer}.attn.bias"] = torch.ones(1, 1, LONGEST, LONGEST).tril()
            tensors[f"{prefix}h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
        return tensors | {"lm_head.weight": tensors[f"{prefix}wte.weight"].clone()}

    change_tensors(tmp_path, change)
    assert_same_weights(zoo.load(tmp_path), expected)


def test_copies_stored_with_t5(tmp_path):
    expected = zoo.load(saved(t5(), tmp_path))

    def change(tensors):
        for copy in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
            tensors[copy] = tensors["shared.weight"].clone()
        unused = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
        return tensors | {unused: torch.ones(8, 5)}

    change_tensors(tmp_path, change)
    assert_same_weights(zoo.load(tmp_path), expected)
