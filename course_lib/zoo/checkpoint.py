"""Reading a published checkpoint: its settings, its tensors, and their names in our words."""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from reprlib import repr as shorten
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.blocks import FeedForward, GatedFeedForward
from course_lib.errors import CourseError

__all__ = ["Checkpoint", "activation"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}
_STORED = (torch.float64, torch.float32, torch.float16, torch.bfloat16)  # anything else needs more than a cast


class _Settings(dict):
    """The contents of config.json; a missing entry is an error a person can read."""

    def __missing__(self, name: str) -> Any:
        raise CourseError(f"config.json does not say {name!r}, which this family of models needs; download it again.")


class Checkpoint:
    """A folder with config.json and safetensors, each tensor of which is to be taken, or left out on purpose.

    Raises CourseError, in one sentence, where the folder does not hold what it should.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.settings = _Settings(self._json("config.json"))
        self._tensors: dict[str, Tensor] = {}
        for file in self._files():
            try:
                self._tensors |= load_file(file)
            except FileNotFoundError:
                raise CourseError(f"{file.name} is missing in {folder}; download it again.") from None
            except (SafetensorError, OSError, ValueError) as error:
                raise CourseError(f"{file.name} in {folder} cannot be read ({error}); download it again.") from None
        sides = (side for tensor in self._tensors.values() if tensor.numel() for side in tensor.shape)
        self._longest = max(sides, default=0)

    @property
    def family(self) -> str:
        """The family of models it belongs to, such as "bert"."""
        return self.word("model_type")

    def has(self, name: str, prefix: str = "") -> bool:
        """Say whether there is such a tensor, under this name or with a prefix before it."""
        return name in self._tensors or prefix + name in self._tensors

    def require(self, setting: str, value: Any, missing: Any) -> None:
        """Raise CourseError unless a setting has the one value we can honour; `missing` is what its absence means."""
        given = self.settings.get(setting, missing)
        if given != value:
            raise CourseError(f"{setting} of this checkpoint is {shorten(given)}; the course can load {value!r} only.")

    def size(self, setting: str, missing: int | None = None, most: int | None = None) -> int:
        """Give a setting that is a whole number from 1 to `most`.

        missing: what its absence, or null, means, if it may be absent. most: without it, the longest side of any
        tensor; a larger size is not of these tensors, and a model so large should not even be begun.
        """
        value = self.settings[setting] if missing is None else self.settings.get(setting)
        value = missing if value is None else value
        most = self._longest if most is None else most
        if type(value) is not int or not 1 <= value <= most:
            raise self._unfit(setting, value, f"a whole number from 1 to {most}")
        return value

    def epsilon(self, setting: str) -> float:
        """Give a setting that is a number from 0 to 1."""
        value = self.settings[setting]
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise self._unfit(setting, value, "a number from 0 to 1")
        return float(value)

    def rope_base(self, setting: str, kind: str = "") -> float:
        """Give the base of rotary positions: a setting of its own in files of old, in those of today `rope_parameters`,
        or what these hold for a kind of layers. Raises CourseError where the angles are changed for longer texts."""
        self.require("rope_scaling", None, missing=None)
        given = self.settings.get("rope_parameters") or {"rope_theta": self.settings.get(setting, 10_000.0)}
        given = given.get(kind, given) if isinstance(given, dict) else {}
        value = given.get("rope_theta")
        if given.get("rope_type", "default") != "default":
            raise self._unfit("rope_type", given["rope_type"], "'default'")
        if type(value) not in (int, float) or not 1 < value < math.inf:
            raise self._unfit("rope_theta", value, "a number above 1")
        return float(value)

    def word(self, setting: str) -> str:
        """Give a setting that is a word."""
        value = self.settings[setting]
        if not isinstance(value, str):
            raise self._unfit(setting, value, "a word")
        return value

    def flag(self, setting: str, missing: bool) -> bool:
        """Give a setting that is true or false; `missing` is what its absence, or null, means."""
        value = self.settings.get(setting)
        value = missing if value is None else value
        if not isinstance(value, bool):
            raise self._unfit(setting, value, "true or false")
        return value

    def drop_prefix(self, prefix: str) -> None:
        """Take `prefix` off all names that have it."""
        self._tensors = {name.removeprefix(prefix): tensor for name, tensor in self._tensors.items()}

    def rename(self, *pairs: tuple[str, str]) -> None:
        """Put the second of each pair in place of the first, in all names that end in it."""
        for old, new in pairs:
            self._tensors = {
                (name.removesuffix(old) + new if name.endswith(old) else name): tensor
                for name, tensor in self._tensors.items()
            }

    def ignore(self, *names: str) -> None:
        """Leave these out, where they are there."""
        for name in names:
            self._tensors.pop(name, None)

    def ignore_copy(self, name: str, original: str) -> None:
        """Leave a tensor out if it is there and a copy of another."""
        if self.has(name) and self.has(original) and torch.equal(self._tensors[name], self._tensors[original]):
            self.ignore(name)

    def ignore_zeros(self, name: str) -> None:
        """Leave a tensor out that adds nothing. Raises CourseError if it does add something."""
        if self.has(name) and self._tensors[name].any():
            raise CourseError(f"{name!r} of this checkpoint is not 0, and the course has no place for it.")
        self.ignore(name)

    def translate(
        self, names: dict[str, str | tuple[str, ...]], rows: dict[str, tuple[int, ...]] | None = None
    ) -> dict[str, Tensor]:
        """Take tensors out under our names. A name without "weight" or "bias" at its end stands for both.

        Where several of theirs make one of ours, they are put on top of one another, and are equally large.
        rows: how many rows each of them has instead, by the end of our name.
        """
        ours = {}
        for mine, theirs in names.items():
            parts = (theirs,) if isinstance(theirs, str) else theirs
            heights = next((found for end, found in (rows or {}).items() if mine.endswith(end)), None)
            if mine.endswith(("weight", "bias")):
                ours[mine] = self._take(parts, heights)
                continue
            ours[f"{mine}.weight"] = self._take([f"{part}.weight" for part in parts], heights)
            if self.has(f"{parts[0]}.bias"):
                ours[f"{mine}.bias"] = self._take([f"{part}.bias" for part in parts], heights)
        return ours

    def fill(self, model: nn.Module, tensors: dict[str, Tensor], dtype: torch.dtype) -> nn.Module:
        """Give a model made on the meta device its weights, all or none."""
        wanted = model.state_dict(keep_vars=True)
        unwanted = self._tensors.keys() | (tensors.keys() - wanted.keys())
        if unwanted:
            raise CourseError(
                f"the checkpoint in {self.folder} holds tensors the course has no place for, such as "
                f"{min(unwanted)!r}; load the model without the head they belong to."
            )
        tied = {name for name, tensor in wanted.items() if name == "head.weight" and name not in tensors}
        for name, tensor in wanted.items():
            if name not in tied and name not in tensors:
                raise CourseError(f"the checkpoint in {self.folder} has no tensor for {name!r}; download it again.")
            if name in tensors and tensors[name].shape != tensor.shape:
                raise CourseError(
                    f"{name!r} should have shape {tuple(tensor.shape)}, got {tuple(tensors[name].shape)}; "
                    f"config.json and the tensors in {self.folder} do not belong together."
                )
        # Copies, in our order of memory: what was read is a view of the file, and would change with it.
        cast = {
            name: tensor.to(dtype, copy=True, memory_format=torch.contiguous_format) for name, tensor in tensors.items()
        }
        model.load_state_dict(cast, strict=False, assign=True)
        if tied:
            model.head.weight = model.embedding.weight
        return model.requires_grad_(True)

    def _take(self, names: tuple[str, ...] | list[str], rows: tuple[int, ...] | None) -> Tensor:
        for name in names:
            if name not in self._tensors:
                raise CourseError(f"the checkpoint in {self.folder} lacks the tensor {name!r}; download it again.")
        parts = [self._tensors.pop(name) for name in names]
        for name, part in zip(names, parts, strict=True):
            if part.dtype not in _STORED:
                raise CourseError(
                    f"the tensor {name!r} in {self.folder} holds {part.dtype}, which are no weights the course can "
                    "read; give a checkpoint that is not quantised."
                )
        shapes = [part.shape for part in parts]
        wanted = [(count, *shapes[0][1:]) for count in rows] if rows else shapes[:1] * len(shapes)
        if shapes != wanted:
            raise CourseError(f"the tensors {', '.join(names)} in {self.folder} do not fit together in their shapes.")
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _unfit(self, setting: str, value: Any, needed: str) -> CourseError:
        return CourseError(f"{setting} in {self.folder / 'config.json'} should be {needed}, got {shorten(value)}.")

    def _json(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CourseError(f"there is no {name} in {self.folder}; give the folder of a whole checkpoint.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise CourseError(f"{name} in {self.folder} cannot be read ({error}); download it again.") from None
        if not isinstance(content, dict):
            raise CourseError(f"{name} in {self.folder} is not what it should be; download it again.")
        return content

    def _files(self) -> list[Path]:
        whole = self.folder / "model.safetensors"
        if whole.exists():
            return [whole]
        index = "model.safetensors.index.json"
        if (self.folder / index).exists():
            places = self._json(index).get("weight_map")
            if not isinstance(places, dict) or not all(map(_is_beside, places.values())):
                raise CourseError(f"{index} in {self.folder} is not what it should be; download it again.")
            return [self.folder / name for name in sorted(set(places.values()))]
        raise CourseError(
            f"there is no model.safetensors in {self.folder}; the course reads safetensors only, never pickled weights."
        )


def _is_beside(name: Any) -> bool:
    """Is this the name of a file with tensors in the same folder, and not the way to somewhere else?"""
    return isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name


def activation(name: str, gated: bool) -> Callable[[int, int, bool], nn.Module]:
    """Give the feed-forward part with an activation named as checkpoints do.

    Raises CourseError if the name is unknown.

    >>> activation("relu", gated=False)(6, 24, True).activation is F.relu
    True
    """
    if name not in _ACTIVATIONS:
        raise CourseError(f"the activation {name!r} is unknown; known are {', '.join(_ACTIVATIONS)}.")
    return partial(GatedFeedForward if gated else FeedForward, activation=_ACTIVATIONS[name])
