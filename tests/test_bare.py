"""A bare model does what the model does, on its very weights, and leaves the model as it was."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from course_lib.bare import bare
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.generation import generate
from course_lib.heads import MaskedLM
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from tests.models import DECODER_PARTS, PARTS, SIZES, drawn, ids


def decoder(kind: str = "gpt-2", **more) -> Decoder:
    return drawn(Decoder(DecoderConfig(**SIZES | DECODER_PARTS[kind] | more)))


@pytest.mark.parametrize("kind", DECODER_PARTS)
def test_a_bare_decoder_gives_the_same_logits(kind):
    model = decoder(kind)
    plain = bare(model)
    assert torch.equal(plain(ids()), model(ids()))
    assert torch.equal(plain.head(plain.hidden(ids())), model(ids()))


@pytest.mark.parametrize("kind", PARTS)
def test_other_models_too(kind):
    encoder = drawn(MaskedLM(Encoder(EncoderConfig(**SIZES | PARTS[kind]))))
    assert torch.equal(bare(encoder)(ids()), encoder(ids()))
    both = drawn(EncoderDecoder(EncoderDecoderConfig(**SIZES | PARTS[kind])))
    assert torch.equal(bare(both)(ids(), ids(seq=5)), both(ids(), ids(seq=5)))


def test_it_is_still_what_it_was_for_whoever_asks():
    assert isinstance(bare(decoder()), Decoder)
    assert isinstance(bare(decoder()).stack.blocks[0].self_attention.norm, nn.LayerNorm)


def test_the_weights_are_the_very_same():
    model = decoder()
    plain = bare(model)
    before = plain(ids())
    with torch.no_grad():
        model.embedding.weight.mul_(2)
    assert plain.embedding.weight is model.embedding.weight
    assert not torch.equal(plain(ids()), before)
    assert torch.equal(plain(ids()), model(ids()))


def test_dropout_is_off_and_the_model_goes_on_learning():
    model = decoder(dropout=0.5)
    expected = model(ids())
    model.train()
    assert torch.equal(bare(model)(ids()), expected)
    assert all(module.training for module in model.modules())
    assert not torch.equal(model(ids()), model(ids()))


def test_nothing_is_added_to_the_model():
    model = decoder()
    names, attributes = sorted(model.state_dict()), sorted(vars(model))
    bare(model)(ids())
    assert (sorted(model.state_dict()), sorted(vars(model))) == (names, attributes)
    assert type(model) is Decoder


@pytest.mark.parametrize("where", ["", "stack.blocks.1", "stack.blocks.0.self_attention.layer.W_qkv", "stack.dropout"])
def test_hooks_still_run(where):
    model, seen = decoder(), []
    module = model.get_submodule(where)
    module.register_forward_hook(lambda module, given, output: seen.append(output))
    module.register_forward_pre_hook(lambda module, given: seen.append(given))
    bare(model)(ids())
    assert len(seen) == 2
    module.register_forward_hook(lambda module, given, output: output * 0)
    assert torch.equal(bare(model)(ids()), model(ids()))


def test_hooks_on_all_modules_run():
    model, seen = decoder(), []
    handle = nn.modules.module.register_module_forward_hook(lambda module, given, output: seen.append(module))
    try:
        bare(model)(ids())
    finally:
        handle.remove()
    assert len(seen) > 20


class Loud(nn.Linear):
    def __call__(self, x):
        return -super().__call__(x)


class Counting(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm, self.seen = norm, 0

    def forward(self, x):
        self.seen += 1
        return self.norm(x) + self.seen


class Tripling(nn.Dropout):
    def forward(self, x):
        return 3 * x


def with_own_call(model):
    model.head.__class__ = Loud


def with_own_forward(model):
    model.stack.blocks[0].feed_forward.forward = lambda x: x + 1


def with_a_dropout_that_is_none(model):
    model.stack.dropout = Tripling(0.0)


def with_a_buffer(model):
    model.stack.register_buffer("shift", torch.tensor(3.0))


def with_weight_norm(model):
    parametrizations.weight_norm(model.head)


@pytest.mark.parametrize("change", [
    with_own_call, with_own_forward, with_a_dropout_that_is_none, with_a_buffer, with_weight_norm,
])  # fmt: skip
def test_what_is_unusual_is_left_as_it_is(change):
    model = decoder(tied=False)
    change(model)
    assert bare(model) is model
    expected = torch.stack([model(ids())[:, -1].argmax(-1)], dim=1)
    assert torch.equal(generate(model, ids(), 1), expected)


def test_state_that_a_module_keeps_is_kept():
    model = decoder()
    model.stack.norm_out = Counting(model.stack.norm_out)
    generate(model, ids(seq=5), 4)
    assert model.stack.norm_out.seen == 4


def test_an_unusual_model_too_writes_without_dropout_and_goes_on_learning():
    model = decoder(dropout=0.5)
    expected = generate(model, ids(seq=5), 4)
    with_a_buffer(model)
    model.train()
    model.stack.blocks[0].eval()  # as someone may who has frozen a part
    modes = [module.training for module in model.modules()]
    assert torch.equal(generate(model, ids(seq=5), 4), expected)
    assert [module.training for module in model.modules()] == modes
