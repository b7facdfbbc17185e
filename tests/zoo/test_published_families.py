"""The same weights give the same numbers as in the published implementation, in the families that came later."""

from dataclasses import replace

import pytest
import torch
import transformers
from torch import Tensor, nn

from course_lib import zoo
from course_lib.positions import count_positions
from course_lib.zoo.modernbert import ModernBert, ModernBertConfig, create_local_mask
from tests.zoo.published import BATCH, VOCAB, bart, distilbert, llama, mistral, modernbert, openai_gpt, roberta, saved

SEQ, PAD = 29, 1  # longer than the windows, and the id that RoBERTa counts no position for
every_side = pytest.mark.parametrize("side", ["none", "right", "left"])
every_dtype = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)], ids=["float32", "float64"]
)


@pytest.fixture(autouse=True)
def exact_parts(monkeypatch):
    """The published RMS norms, and ModernBERT's rotation, compute in float32 whatever they are given: let them keep the
    precision they are in."""

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    for module, name in (("llama", "LlamaRMSNorm"), ("mistral", "MistralRMSNorm"), ("t5", "T5LayerNorm")):
        monkeypatch.setattr(f"transformers.models.{module}.modeling_{module}.{name}.forward", forward)
    rotate = transformers.models.llama.modeling_llama.apply_rotary_pos_emb
    monkeypatch.setattr("transformers.models.modernbert.modeling_modernbert.apply_rotary_pos_emb", rotate)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def ids(seed: int = 0, seq: int = SEQ) -> Tensor:
    return torch.randint(PAD + 1, VOCAB, (BATCH, seq), generator=torch.Generator().manual_seed(seed))


def padding(side: str, seq: int = SEQ) -> Tensor:
    """Which tokens are real, (batch, seq)."""
    lengths = torch.tensor([seq, seq // 2, 3]) if side != "none" else torch.full((BATCH,), seq)
    real = torch.arange(seq) < lengths[:, None]
    return real.flip(1) if side == "left" else real


def pair(theirs: nn.Module, folder, dtype: torch.dtype):
    """Both models in one precision, from one file in float32."""
    saved(theirs, folder)
    speeds = {name: buffer.clone() for name, buffer in theirs.named_buffers() if name.endswith("inv_freq")}
    theirs = theirs.to(dtype)
    for name, buffer in theirs.named_buffers():
        if name in speeds:  # both turn by angles in float32: let theirs not be rounded once more
            buffer.data = our_speeds(speeds[name])
    return theirs, zoo.load(folder, dtype)


def our_speeds(theirs: Tensor) -> Tensor:
    """The same speeds of rotation, rounded to float32 as ours are: base ** x, where theirs are 1 / base ** -x."""
    share = torch.arange(len(theirs)) / len(theirs)
    base = round((1 / theirs[-1].item()) ** (1 / share[-1].item()))
    ours = base ** (-share)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    return ours


def assert_equal(ours: Tensor, theirs: Tensor, tolerance: float, real: Tensor | None = None) -> None:
    if real is not None:
        ours, theirs = ours[real], theirs[real]
    assert theirs.std() > 0.1  # there is something to compare
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


@every_dtype
@every_side
@pytest.mark.parametrize("kind", ["RobertaModel", "RobertaForMaskedLM"])
def test_roberta(tmp_path, kind, side, dtype, tolerance):
    theirs, ours = pair(roberta(kind), tmp_path, dtype)
    real = padding(side)
    given = torch.where(real, ids(), PAD)  # its positions count what is not padding, and so do ours
    expected = theirs(given, attention_mask=real.long())
    assert_equal(ours(given, real[:, None, None]), expected[0], tolerance, real)
    if kind == "RobertaModel" and side != "left":  # there the first token is no real one
        pooled = ours.pooled(ours(given, real[:, None, None]))
        assert_equal(pooled, expected.pooler_output, tolerance)


@every_dtype
@every_side
@pytest.mark.parametrize("kind", ["DistilBertModel", "DistilBertForMaskedLM"])
def test_distilbert(tmp_path, kind, side, dtype, tolerance):
    theirs, ours = pair(distilbert(kind), tmp_path, dtype)
    real = padding(side)
    expected = theirs(ids(), attention_mask=real.long())[0]
    got = ours(ids(), real[:, None, None], positions=torch.arange(SEQ)[None])  # as the published one numbers them
    assert_equal(got, expected, tolerance, real)
    if side == "left":
        row = ids()[1:2, real[1]]
        assert_equal(ours(ids(), real[:, None, None])[1][real[1]], theirs(row)[0][0], tolerance)  # ours count


@every_dtype
@every_side
@pytest.mark.parametrize("kind", ["ModernBertModel", "ModernBertForMaskedLM"])
def test_modernbert(tmp_path, kind, side, dtype, tolerance):
    theirs, ours = pair(modernbert(kind), tmp_path, dtype)
    real = padding(side)
    expected = theirs(ids(), attention_mask=real.long())[0]
    in_a_row = torch.arange(SEQ)[None]  # as the published one numbers them: only distances count
    assert_equal(ours(ids(), real[:, None, None], positions=in_a_row), expected, tolerance, real)
    assert_equal(ours(ids(), real[:, None, None]), expected, 1e-4, real)


def test_modernberts_layers_read_near_and_far():
    """Of the changes a token makes in one layer, those that come through a window end where it ends."""
    config = ModernBertConfig(vocab_size=VOCAB, d_model=28, num_layers=4, num_heads=2, d_ff=31, window=6)
    stack = ModernBert(config, torch.Generator().manual_seed(0)).double().stack
    x = torch.randn(1, SEQ, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[0, 0, 0] += 1
    near = create_local_mask(SEQ, config.window)
    assert [config.reads_all(layer) for layer in range(4)] == [True, False, False, True]
    moved = (stack.blocks[1](x, near) != stack.blocks[1](changed, near)).any(-1)[0]
    assert moved.nonzero().flatten().tolist() == [0, 1, 2, 3]
    alone = replace(config, num_layers=1)
    first = ModernBert(alone, torch.Generator().manual_seed(0)).double().stack
    assert (first(x) != first(changed)).any(-1).all()


@every_dtype
@every_side
def test_openai_gpt(tmp_path, side, dtype, tolerance):
    theirs, ours = pair(openai_gpt(), tmp_path, dtype)
    real = padding(side)
    expected = theirs(ids(), attention_mask=real.long(), position_ids=count_positions(real[:, None, None])).logits
    assert_equal(ours(ids(), real[:, None, None]), expected, tolerance, real)


@every_dtype
@every_side
@pytest.mark.parametrize("make", [llama, mistral])
@pytest.mark.parametrize("tied", [False, True])
def test_llama_and_mistral(tmp_path, make, tied, side, dtype, tolerance):
    theirs, ours = pair(make(tie_word_embeddings=tied), tmp_path, dtype)
    real = padding(side)
    expected = theirs(ids(), attention_mask=real.long(), position_ids=count_positions(real[:, None, None])).logits
    assert_equal(ours(ids(), real[:, None, None]), expected, tolerance, real)
    assert ours.config.tied == tied


def test_mistral_without_a_window_reads_everything(tmp_path):
    theirs, ours = pair(mistral(sliding_window=None), tmp_path / "all", torch.float64)
    assert_equal(ours(ids()), theirs(ids()).logits, 1e-9)
    _, windowed = pair(mistral(), tmp_path / "window", torch.float64)
    assert (ours(ids()) - windowed(ids())).abs().max() > 0.1


@every_dtype
@every_side
def test_bart(tmp_path, side, dtype, tolerance):
    theirs, ours = pair(bart(), tmp_path, dtype)
    real, target = padding(side), ids(seed=1, seq=7)
    after = padding("none" if side == "none" else "right", 7)
    got = ours(ids(), target, real[:, None, None], after[:, None, None])
    if side == "left":  # the published one numbers padding too, so that a padded source means something else to it
        expected = torch.cat(
            [theirs(ids()[[n], real[n]][None], decoder_input_ids=target[[n]]).logits for n in range(BATCH)]
        )
    else:
        expected = theirs(
            ids(), attention_mask=real.long(), decoder_input_ids=target, decoder_attention_mask=after.long()
        ).logits
    assert_equal(got, expected, tolerance, after)
    assert side == "none" or ((got - ours(ids(), target))[after].abs() > 0.1).any()  # the mask matters
