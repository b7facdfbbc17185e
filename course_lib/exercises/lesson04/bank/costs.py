"""Known mistakes and right answers for `cache_bytes`."""

import torch

from course_lib import costs
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson04 import run

__all__ = ["BYTES"]


def _heads(config):
    return config.num_heads if config.num_kv_heads is None else config.num_kv_heads


def _width(config):
    return config.d_model // config.num_heads if config.head_dim is None else config.head_dim


def _size(dtype):
    return dtype.itemsize


def _layers(config):
    return config.num_layers


def _counter(both=2, layers=_layers, heads=_heads, width=_width, size=_size, length=1, batch=1):
    """Make a cache_bytes from its factors; as they stand they make a right one. length, batch: to which power."""

    def cache_bytes(config, tokens, rows=1, dtype=torch.float16):
        per_token = both * layers(config) * heads(config) * width(config)
        return per_token * tokens**length * rows**batch * size(dtype)

    return cache_bytes


def _of_the_result(change):
    def cache_bytes(config, length, batch=1, dtype=torch.float16):
        return change(_counter()(config, length, batch, dtype))

    return cache_bytes


def _true_division(config, length, batch=1, dtype=torch.float16):
    width = config.head_dim or config.d_model / config.num_heads
    return 2 * config.num_layers * _heads(config) * width * length * batch * dtype.itemsize


def _bits_divided(config, length, batch=1, dtype=torch.float16):
    return _counter(size=lambda dtype: torch.finfo(dtype).bits / 8)(config, length, batch, dtype)


def _without_defaults(config, length, batch, dtype):
    return _counter()(config, length, batch, dtype)


def _per_token(config, length, batch=1, dtype=torch.float16):
    return _counter(length=0)(config, length, batch, dtype)


def _grouped(config):
    return config.d_model // _heads(config) if config.head_dim is None else config.head_dim


def _by_factors(config, length, batch=1, dtype=torch.float16):
    kv_heads = config.num_kv_heads or config.num_heads
    head_dim = config.head_dim or config.d_model // config.num_heads
    return 2 * config.num_layers * kv_heads * head_dim * length * batch * dtype.itemsize


def _by_bits(config, length, batch=1, dtype=torch.float16):
    kv_heads = config.num_heads if config.num_kv_heads is None else config.num_kv_heads
    head_dim = config.d_model // config.num_heads if config.head_dim is None else config.head_dim
    bits = kv_heads * head_dim * torch.finfo(dtype).bits
    return (2 * config.num_layers * length * batch * bits) // 8


def _by_tensors(config, length, batch=1, dtype=torch.float16):
    heads, width = _heads(config), _width(config)
    total = 0
    for _ in range(config.num_layers):
        keys = torch.empty(batch, heads, length, width, dtype=dtype, device="meta")
        values = torch.empty_like(keys)
        total += keys.nbytes + values.nbytes
    return total


def _by_element_size(config, length, batch=1, dtype=torch.float16):
    one_layer = batch * length * _heads(config) * _width(config) * torch.zeros((), dtype=dtype).element_size()
    keys = values = config.num_layers * one_layer
    return keys + values


def _by_groups(config, length, batch=1, dtype=torch.float16):
    width = config.d_model / config.num_heads if config.head_dim is None else config.head_dim
    share = 1 if config.num_kv_heads is None else config.num_heads // config.num_kv_heads
    numbers = 2 * config.num_layers * config.num_heads * width * length * batch / share
    return round(numbers * dtype.itemsize)


BYTES = Exercise(
    side=run.BYTES,
    reference=costs.cache_bytes,
    groups={
        "a key and a value for each token, in each layer": 1,
        "fewer key and value heads, and heads of another width": 1,
        "batch and dtype, and a whole number": 1,
    },
    judge=Equality(),
    difficulty=2,
    minutes=7,
    misconceptions={
        "keys without values": Misconception(
            _counter(both=1),
            "You get half of it: each token leaves a key and a value.",
        ),
        "queries as well": Misconception(
            _counter(both=3),
            "You get one and a half times as much. A query is used once, when its token arrives, and nobody asks for "
            "it again: keys and values alone are kept.",
        ),
        "one layer alone": Misconception(
            _counter(layers=lambda config: 1),
            "That is one layer. Each layer has keys and values of its own, made from its own input.",
        ),
        "as many heads as queries have": Misconception(
            _counter(heads=lambda config: config.num_heads),
            "You count the heads of the queries. What is kept are the heads of keys and values, and num_kv_heads may "
            "be fewer: that is what grouped queries are for. None means as many.",
        ),
        "d_model for the width of all heads": Misconception(
            _counter(heads=lambda config: 1, width=lambda config: config.d_model),
            "You count d_model numbers for each key. It is num_kv_heads · head_dim, which is d_model only where all "
            "heads have keys of their own and head_dim is left as it was.",
        ),
        "head_dim is always d_model / num_heads": Misconception(
            _counter(width=lambda config: config.d_model // config.num_heads),
            "The configuration may give head_dim itself, and then it counts. Only None means d_model / num_heads.",
        ),
        "d_model is shared among the key and value heads": Misconception(
            _counter(width=_grouped),
            "You divide d_model by num_kv_heads. Heads of keys are as wide as those of queries, with which they are "
            "multiplied: d_model / num_heads.",
        ),
        "each head is as wide as the model": Misconception(
            _counter(width=lambda config: config.d_model),
            "You count d_model numbers for each head. The heads share d_model among them: d_model / num_heads each, "
            "unless head_dim says otherwise.",
        ),
        "one head alone": Misconception(
            _counter(heads=lambda config: 1),
            "That is one head. Each key and value head of a layer keeps its own.",
        ),
        "num_kv_heads may be None": Misconception(
            _counter(heads=lambda config: config.num_kv_heads),
            "num_kv_heads is None in most configurations, and nothing can be multiplied by it. None means as many as "
            "num_heads.",
        ),
        "head_dim may be None": Misconception(
            _counter(width=lambda config: config.head_dim),
            "head_dim is None in most configurations, and nothing can be multiplied by it. None means "
            "d_model // num_heads.",
        ),
        "bits instead of bytes": Misconception(
            _counter(size=lambda dtype: 8 * dtype.itemsize),
            "You get eight times as much: torch.finfo(dtype).bits counts bits. A byte has 8 of them; dtype.itemsize is "
            "in bytes.",
        ),
        "numbers instead of bytes": Misconception(
            _counter(size=lambda dtype: 1),
            "You count numbers. Each takes dtype.itemsize bytes: 2 in float16, 4 in float32.",
        ),
        "always two bytes": Misconception(
            _counter(size=lambda dtype: 2),
            "The dtype has no effect: yours are always two bytes a number. float32 has four; ask dtype.itemsize.",
        ),
        "always four bytes": Misconception(
            _counter(size=lambda dtype: 4),
            "The dtype has no effect: yours are always four bytes a number, as in float32. float16 has two; ask "
            "dtype.itemsize.",
        ),
        "the batch is left out": Misconception(
            _counter(batch=0),
            "The batch has no effect. Each sequence has tokens of its own, and so keys and values of its own.",
        ),
        "one token alone": Misconception(
            _per_token,
            "That is one token. The cache holds all tokens so far: multiply by length.",
        ),
        "the length twice": Misconception(
            _counter(length=2),
            "The length counts twice, as for the scores, of which there is one for each pair. A token leaves one key "
            "and one value, so the cache grows with the length, not with its square.",
        ),
        "a number with a decimal point": Misconception(
            _true_division,
            "The number is right, as a float: / always gives one. Bytes are counted in whole numbers: //.",
        ),
        "a tensor instead of a number": Misconception(
            _of_the_result(torch.tensor),
            "The number is right and stands in a tensor. Sizes are plain numbers: give back an int.",
        ),
        "not in bytes": Misconception(
            _of_the_result(lambda count: count / 2**30),
            "You give another unit, such as GiB. Give bytes; whoever shows them may divide by 2**30.",
        ),
        "batch and dtype have no defaults": Misconception(
            _without_defaults,
            "The function is also called as cache_bytes(config, length). Leave the signature as it was: batch=1, "
            "dtype=torch.float16.",
        ),
    },
    variants={
        "a number with a decimal point": (_bits_divided,),
        "not in bytes": (
            _of_the_result(lambda count: count / 2**20),
            _of_the_result(lambda count: count / 1e9),
            _of_the_result(lambda count: count / 1e6),
            _of_the_result(lambda count: count / 1024),
        ),
    },
    alternatives=[_by_factors, _by_bits, _by_tensors, _by_element_size, _by_groups],
    allowed=("course_lib.config.Sizes", "course_lib.decoder.DecoderConfig"),
    hints=(
        "Think of one token in one layer: which two things does it leave for the tokens after it, how many heads have "
        "them, and how wide is each?",
        "Keys and values: 2. Then layers, key and value heads, head_dim, tokens, sequences, and last the bytes of one "
        "number, dtype.itemsize. Two entries of the configuration may be None.",
        "kv_heads = config.num_kv_heads or config.num_heads, and head_dim = config.head_dim or config.d_model // "
        "config.num_heads. The rest is a product of seven factors, the first of which is 2.",
    ),
)
