"""What is put on top of hidden states: fill a mask, label a sequence, its tokens or a span in it.

What a head is given beyond ids and mask (BERT's token_types, say) is handed on to what it stands on.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.blocks import initialise
from course_lib.checks import require_padding_mask
from course_lib.decoder import Decoder
from course_lib.encoder import Encoder

__all__ = ["MaskedLM", "SequenceClassifier", "SequenceRegressor", "SpanQA", "TokenClassifier", "pool"]


class MaskedLM(nn.Module):
    """Logits of the token that belongs at each position, as BERT is trained (Devlin et al. 2018, section 3.1).

    generator: draws the initial weights of what is added to the encoder, as in all heads.

    >>> from course_lib.encoder import EncoderConfig
    >>> encoder = Encoder(EncoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> MaskedLM(encoder)(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 3, 100])
    """

    def __init__(self, encoder: Encoder, generator: torch.Generator | None = None):
        super().__init__()
        d_model, vocab_size = encoder.config.d_model, encoder.config.vocab_size
        self.encoder = encoder
        self.transform = nn.Sequential(nn.Linear(d_model, d_model), nn.GELU(), encoder.config.norm(d_model))
        initialise(self.transform, generator)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(
        self, ids: Int[Tensor, "batch seq"], mask: Bool[Tensor, "#batch #heads #seq seq"] | None = None, **more
    ) -> Float[Tensor, "batch seq vocab"]:
        """Shapes: ids (batch, seq), mask broadcasts to (batch, heads, seq, seq); returns (batch, seq, vocab_size)."""
        x = self.transform(self.encoder.hidden(ids, mask, **more))
        return nn.functional.linear(x, self.encoder.embedding.weight, self.bias)


class _OnTop(nn.Module):
    """One linear layer on the hidden states of an encoder or a decoder."""

    def __init__(self, body: Encoder | Decoder, outputs: int, generator: torch.Generator | None):
        super().__init__()
        if outputs < 1:
            raise ValueError(f"num_labels must be at least 1, got {outputs}")
        self.body = body
        self.linear = nn.Linear(body.config.d_model, outputs)
        initialise(self.linear, generator)


class SequenceClassifier(_OnTop):
    """Logits of the labels of a whole sequence, from its pooled hidden states (Devlin et al. 2018, section 4.1).

    how: where the sequence is summed up, see `pool`. By default a decoder is read at its last real token, the only one
    that has seen all, and an encoder at all of them. The loss is `objectives.token_loss`, as for tokens and spans.
    Raises ValueError if num_labels is below 1 or `how` unknown.

    >>> from course_lib.encoder import EncoderConfig
    >>> encoder = Encoder(EncoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> SequenceClassifier(encoder, num_labels=4)(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 4])
    """

    def __init__(
        self,
        body: Encoder | Decoder,
        num_labels: int,
        how: str | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__(body, num_labels, generator)
        self.how = how or ("last" if isinstance(body, Decoder) else "mean")
        _require_known(self.how)

    def forward(
        self, ids: Int[Tensor, "batch seq"], mask: Bool[Tensor, "batch 1 1 seq"] | None = None, **more
    ) -> Float[Tensor, "batch labels"]:
        """Shapes: ids (batch, seq), mask (batch, 1, 1, seq), True = real; returns (batch, num_labels)."""
        return self.linear(pool(self.body.hidden(ids, mask, **more), mask, self.how))


class SequenceRegressor(SequenceClassifier):
    """One number for a whole sequence, such as a rating or the similarity of two sentences.

    >>> from course_lib.encoder import EncoderConfig
    >>> encoder = Encoder(EncoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> SequenceRegressor(encoder)(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1])
    """

    def __init__(self, body: Encoder | Decoder, how: str | None = None, generator: torch.Generator | None = None):
        super().__init__(body, 1, how, generator)

    def forward(
        self, ids: Int[Tensor, "batch seq"], mask: Bool[Tensor, "batch 1 1 seq"] | None = None, **more
    ) -> Float[Tensor, " batch"]:
        """Shapes: ids (batch, seq), mask (batch, 1, 1, seq), True = real; returns (batch,)."""
        return super().forward(ids, mask, **more).squeeze(-1)


class TokenClassifier(_OnTop):
    """Logits of a label for each token, as in named-entity recognition (Devlin et al. 2018, section 5.3).

    >>> from course_lib.encoder import EncoderConfig
    >>> encoder = Encoder(EncoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> TokenClassifier(encoder, num_labels=5)(torch.tensor([[5, 8, 2]])).shape
    torch.Size([1, 3, 5])
    """

    def __init__(self, body: Encoder | Decoder, num_labels: int, generator: torch.Generator | None = None):
        super().__init__(body, num_labels, generator)

    def forward(
        self, ids: Int[Tensor, "batch seq"], mask: Bool[Tensor, "batch 1 1 seq"] | None = None, **more
    ) -> Float[Tensor, "batch seq labels"]:
        """Shapes: ids (batch, seq), mask (batch, 1, 1, seq), True = real; returns (batch, seq, num_labels)."""
        return self.linear(self.body.hidden(ids, mask, **more))


class SpanQA(_OnTop):
    """Logits of where an answer starts and ends in the text (Devlin et al. 2018, section 4.2).

    >>> from course_lib.encoder import EncoderConfig
    >>> encoder = Encoder(EncoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> start, end = SpanQA(encoder)(torch.tensor([[5, 8, 2]]))
    >>> start.shape, end.shape
    (torch.Size([1, 3]), torch.Size([1, 3]))
    """

    def __init__(self, body: Encoder | Decoder, generator: torch.Generator | None = None):
        super().__init__(body, 2, generator)

    def forward(
        self, ids: Int[Tensor, "batch seq"], mask: Bool[Tensor, "batch 1 1 seq"] | None = None, **more
    ) -> tuple[Float[Tensor, "batch seq"], Float[Tensor, "batch seq"]]:
        """Give the start logits and the end logits; padding gets the lowest finite number.

        Shapes: ids (batch, seq), mask (batch, 1, 1, seq), True = real; returns two of (batch, seq).
        """
        logits = self.linear(self.body.hidden(ids, mask, **more))
        if mask is not None:
            logits = logits.masked_fill(~mask[:, 0, 0, :, None], torch.finfo(logits.dtype).min)
        return logits[..., 0], logits[..., 1]


def pool(
    hidden: Float[Tensor, "batch seq d_model"],
    mask: Bool[Tensor, "batch 1 1 seq"] | None = None,
    how: str = "mean",
) -> Float[Tensor, "batch d_model"]:
    """Sum up each sequence in one vector: its first real token, its last, or the mean of its real tokens.

    A sequence without real tokens gives zeros. Compared in Reimers and Gurevych 2019, section 6.
    Shapes: hidden (batch, seq, d_model), mask (batch, 1, 1, seq), True = real; returns (batch, d_model).
    Raises ValueError if `how` is none of the three or the mask has another shape, TypeError if it is not boolean.

    >>> hidden = torch.tensor([[[2.0], [4.0], [9.0]]])
    >>> pool(hidden, torch.tensor([[[[True, True, False]]]]))
    tensor([[3.]])
    """
    _require_known(how)
    real = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
    if mask is not None:
        require_padding_mask(mask, *hidden.shape[:2])
        real = real & mask[:, 0, 0]
    if how == "first":
        chosen = real & (real.cumsum(-1) == 1)
    elif how == "last":
        chosen = real & (real.cumsum(-1) == real.sum(-1, keepdim=True))
    else:
        chosen = real
    weights = chosen.to(hidden.dtype) / chosen.sum(-1, keepdim=True).clamp(min=1)
    return (weights[:, None] @ hidden)[:, 0]


def _require_known(how: str) -> None:
    if how not in ("first", "last", "mean"):
        raise ValueError(f"how must be 'first', 'last' or 'mean', got {how!r}")
