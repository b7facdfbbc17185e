"""Writing: one token after another from a decoder or an encoder-decoder, with a cache for what does not change.

Both families are used alike: a decoder goes on from a prompt; an encoder-decoder goes on from a start token, and is
also given `memory=model.encode(source, source_mask)`. Prompts of different lengths are padded on the left.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.attention import KeysValues
from course_lib.bare import bare, evaluating
from course_lib.cache import KVCache
from course_lib.checks import require_ids, require_padding_mask
from course_lib.decoder import Decoder
from course_lib.masks import create_causal_mask
from course_lib.seq2seq import EncoderDecoder, Memory

__all__ = ["KVCache", "Session", "generate", "sample", "stream"]


class Session:
    """A model at work on a batch: it takes the newest tokens and gives the logits of the next.

    max_len: the longest that prompt and answer will be together. mask: which tokens of the prompt are real.
    memory: what an encoder-decoder has read. use_cache: False computes everything again at each step, to compare.
    Raises ValueError if max_len is more than the model's positions reach, the prompts end in padding, or the model's
    mask lets tokens of the prompt look at later ones, so that nothing can be cached; TypeError without a memory where
    one is needed.

    >>> from course_lib.decoder import DecoderConfig
    >>> model = Decoder(DecoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> session = Session(model, max_len=4)
    >>> session.step(torch.tensor([[5, 8, 2]])).shape, session.step(torch.tensor([[9]])).shape
    (torch.Size([1, 100]), torch.Size([1, 100]))
    """

    def __init__(
        self,
        model: Decoder | EncoderDecoder,
        max_len: int,
        mask: Bool[Tensor, "#batch 1 1 prompt"] | None = None,
        memory: Memory | None = None,
        use_cache: bool = True,
    ):
        self.model, self.memory = bare(model), memory
        stack = model.decoder if isinstance(model, EncoderDecoder) else model.stack
        if isinstance(model, EncoderDecoder) and not isinstance(memory, Memory):
            given = type(memory).__name__
            raise TypeError(f"an encoder-decoder needs memory=model.encode(source, source_mask), got {given}")
        if isinstance(model, Decoder) and memory is not None:
            raise TypeError("a decoder reads its prompt and takes no memory, got one")
        if max_len > stack.position.max_len:
            raise ValueError(f"prompt and new tokens must fit max_len, got {max_len} and {stack.position.max_len}")
        self.caches = [KVCache(max_len) for _ in stack.blocks] if use_cache else None
        self.ids: Tensor | None = None  # the tokens so far, where there is no cache
        self.length = 0
        self.prompt_mask, self.mask = mask, None  # as given, and made as long as all will be
        self.max_len = max_len

    @torch.inference_mode()
    def step(self, ids: Int[Tensor, "batch new"]) -> Float[Tensor, "batch vocab"]:
        """Take tokens that follow on those before and give the logits of the one after them.

        Shapes: ids (batch, new); returns (batch, vocab_size), float32 at least, to choose by and not to learn from.
        Raises ValueError if there are more tokens than max_len in all. After an error all is as before the step.
        """
        length = self.length + ids.shape[1]
        if length > self.max_len:
            raise ValueError(f"tokens must not be more than max_len, got {length} and {self.max_len}")
        if not self.length:
            self._begin(ids)
        whole = ids if self.ids is None else torch.cat((self.ids, ids), dim=1)
        mask = None if self.mask is None else self.mask[..., :length]
        memory = () if self.memory is None else (self.memory,)
        try:
            with evaluating(self.model) if self.model.training else nullcontext():
                given = ids if self.caches is not None else whole
                hidden = self.model.hidden(given, *memory, mask=mask, caches=self.caches)
                logits = self.model.head(hidden[:, -1])
        except BaseException:
            for cache in self.caches or ():
                cache.length = self.length
            raise
        self.length = length
        self.ids = whole if self.caches is None else None
        return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits

    def _begin(self, prompt: Tensor) -> None:
        """Look at the prompt: is its mask what it should be, and can its keys and values be kept?"""
        require_ids(prompt)
        read = len(prompt) if self.memory is None else len(self.memory.layers[0].keys)
        if read != len(prompt):
            raise ValueError(f"memory must be of as many rows as ids, got {read} and {len(prompt)}")
        mask = self.prompt_mask
        if mask is not None:
            require_padding_mask(mask, *prompt.shape)
            if not mask[..., -1].all() or (mask[..., :-1] & ~mask[..., 1:]).any():
                raise ValueError("prompts must be padded on the left, as left_pad does, the mask True for real tokens")
            mask = mask.expand(len(prompt), 1, 1, -1)
            self.mask = None if mask.all() else nn.functional.pad(mask, (0, self.max_len - prompt.shape[1]), value=True)
        create_mask = getattr(self.model.config, "mask", create_causal_mask)
        if self.caches is not None and create_mask is not create_causal_mask:
            ahead = create_mask(self.max_len, device=prompt.device).triu(1)
            if ahead[..., prompt.shape[1] :].any():
                raise ValueError(
                    "under this mask tokens look at ones not written yet, so nothing can be cached: use use_cache=False"
                )

    @torch.inference_mode()
    def reorder(self, rows: Int[Tensor, " batch"]) -> None:
        """Let row i of the batch go on from what was row rows[i]; there may be more rows than before.

        Shapes: rows (batch,).
        """
        for cache in self.caches or ():
            cache.reorder(rows)
        if self.ids is not None:
            self.ids = self.ids[rows]
        if self.mask is not None:
            self.mask = self.mask[rows]
        if self.memory is not None:
            layers = [KeysValues(kv.keys[rows], kv.values[rows]) for kv in self.memory.layers]
            self.memory = Memory(layers, None if self.memory.mask is None else self.memory.mask[rows])


def sample(
    logits: Float[Tensor, "batch vocab"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " batch"]:
    """Draw the next token of each row; at temperature 0 take the likeliest.

    temperature: what logits are divided by: below 1 sharper, above 1 flatter. top_k: draw among the k likeliest (Fan
    et al. 2018, section 5). top_p: draw among the likeliest tokens that together first reach the probability top_p,
    after temperature and top_k (Holtzman et al. 2020, section 3.1).
    Shapes: logits (batch, vocab); returns (batch,).
    Raises ValueError if temperature is below 0, top_k below 1 or top_p not in (0, 1].

    >>> logits = torch.tensor([[0.1, 2.0, 0.3], [3.0, 0.2, 0.1]])
    >>> sample(logits, temperature=0), sample(logits, top_k=1), sample(logits, top_p=0.5)
    (tensor([1, 0]), tensor([1, 0]), tensor([1, 0]))
    """
    if temperature < 0:
        raise ValueError(f"temperature must be at least 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")
    if temperature == 0:
        return logits.argmax(-1)
    logits = (logits - logits.amax(-1, keepdim=True)) / temperature
    if top_k is None and top_p is None:
        return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    vocab = logits.shape[-1]
    logits, tokens = logits.topk(vocab if top_k is None else min(top_k, vocab))  # the likeliest first
    probabilities = logits.softmax(-1)
    if top_p is not None and top_p < 1:
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities * (before < top_p)  # the token that crosses top_p is still in
    return tokens.gather(-1, torch.multinomial(probabilities, 1, generator=generator))[:, 0]


def stream(
    model: Decoder | EncoderDecoder,
    prompt: Int[Tensor, "batch prompt"],
    max_new_tokens: int,
    *,
    mask: Bool[Tensor, "#batch 1 1 prompt"] | None = None,
    memory: Memory | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    stop_ids: int | Sequence[int] | Tensor = (),
    pad_id: int = 0,
    use_cache: bool = True,
) -> Iterator[Int[Tensor, " batch"]]:
    """Give the new tokens of a batch as they are written, one step at a time.

    temperature, top_k, top_p, generator: how a token is drawn, see `sample`; with none of them the likeliest is taken.
    mask: needed where prompts are padded, since nothing else says which tokens are real.
    stop_ids: a row ends with the first of these, and is padded with pad_id after it; when all rows have ended, so does
    the stream. The rest as in `Session`.
    Shapes: prompt (batch, prompt), mask (batch, 1, 1, prompt); yields (batch,).
    Raises ValueError if max_new_tokens is below 1, and as `sample` and `Session` do.

    >>> from course_lib.decoder import DecoderConfig
    >>> model = Decoder(DecoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> [token.shape for token in stream(model, torch.tensor([[5, 8], [2, 9]]), max_new_tokens=2)]
    [torch.Size([2]), torch.Size([2])]
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if temperature is None:
        temperature = 0.0 if (top_k, top_p, generator) == (None, None, None) else 1.0
    require_ids(prompt)
    session = Session(model, prompt.shape[1] + max_new_tokens, mask, memory, use_cache)
    stops = torch.as_tensor(stop_ids, dtype=torch.long, device=prompt.device).flatten()
    ended = torch.zeros(prompt.shape[0], dtype=torch.bool, device=prompt.device)
    newest = prompt
    for _ in range(max_new_tokens):
        token = sample(session.step(newest), temperature, top_k, top_p, generator)
        if len(stops):
            token = token.masked_fill(ended, pad_id)
            ended |= torch.isin(token, stops)
        yield token
        if len(stops) and ended.all():
            return
        newest = token[:, None]


def generate(
    model: Decoder | EncoderDecoder, prompt: Int[Tensor, "batch prompt"], max_new_tokens: int, **options
) -> Int[Tensor, "batch new"]:
    """Write up to max_new_tokens tokens after each prompt: all that `stream` gives, with the same options and errors.

    Shapes: prompt (batch, prompt); returns the new tokens alone, (batch, at most max_new_tokens).

    >>> from course_lib.decoder import DecoderConfig
    >>> model = Decoder(DecoderConfig(vocab_size=100, d_model=12, num_layers=2, num_heads=3, d_ff=48))
    >>> cached = generate(model, torch.tensor([[5, 8, 2]]), max_new_tokens=6)
    >>> torch.equal(cached, generate(model, torch.tensor([[5, 8, 2]]), max_new_tokens=6, use_cache=False))
    True
    """
    return torch.stack(list(stream(model, prompt, max_new_tokens, **options)), dim=1)
