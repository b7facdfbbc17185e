"""Attention with a memory: new tokens read all that came before, and nothing is computed twice."""

from jaxtyping import Float
from torch import Tensor

from course_lib.attention import attention
from course_lib.cache import KVCache
from course_lib.decoder import last_rows
from course_lib.masks import create_causal_mask

__all__ = ["attend_with_cache"]


def attend_with_cache(
    q: Float[Tensor, "batch heads new head_dim"],
    k: Float[Tensor, "batch heads new head_dim"],
    v: Float[Tensor, "batch heads new head_dim"],
    cache: KVCache,
) -> Float[Tensor, "batch heads new head_dim"]:
    """Put the keys and values of new tokens into the cache, and let their queries read all tokens so far, causally.

    New token t sees every cached token and the new ones up to itself: the causal mask is aligned bottom-right. So the
    outputs are those of causal attention over the whole sequence, however it is cut into calls (Shazeer 2019,
    section 2.4, "incremental" attention).
    cache: holds the tokens before, none on the first call; afterwards it holds the new ones too.
    Shapes: q, k, v (batch, heads, new, head_dim); returns (batch, heads, new, head_dim).
    Raises ValueError if the cache has no room for the new tokens, or holds another batch or other heads.

    >>> cache, like = KVCache(max_len=3), torch.zeros(1, 1, 1, 1)
    >>> [attend_with_cache(like, like, like + value, cache).item() for value in (2, 4, 9)]  # equal weights: means
    [2.0, 3.0, 5.0]
    """
    k, v = cache.append(k, v)
    mask = last_rows(create_causal_mask, q.shape[-2], k.shape[-2], device=q.device)
    return attention(q, k, v, mask)
