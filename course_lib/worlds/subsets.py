"""Which examples a model may learn from: decided by the example itself, so that train and test can never overlap."""

import hashlib

__all__ = ["SUBSETS", "require_subset", "subset_of"]

SUBSETS = ("train", "validation", "test")


def subset_of(key: str) -> str:
    """Say where an example belongs, by what it is about: "train" (80 %), "validation" or "test" (10 % each).

    Source: our own, from a hash of the key.

    >>> subset_of("97"), subset_of("98")
    ('test', 'validation')
    """
    digest = hashlib.blake2b(key.encode(), digest_size=4).digest()
    tenth = int.from_bytes(digest, "big") % 10
    return {0: "test", 1: "validation"}.get(tenth, "train")


def require_subset(subset: str | None) -> None:
    """Raise ValueError unless a subset is one of SUBSETS, or None for all.

    Source: our own.

    >>> require_subset("dev")
    Traceback (most recent call last):
    ValueError: subset must be train, validation, test or None, got 'dev'
    """
    if subset not in (None, *SUBSETS):
        raise ValueError(f"subset must be train, validation, test or None, got {subset!r}")
