"""Masked sentences looked at: which tokens were selected, what became of them, and how even chance was."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from course_lib.exercises.lesson03.run import CALLS, FEW, NARROW, OFTEN, TEXT, TWICE
from course_lib.exercises.running import Case, Observation
from course_lib.objectives import IGNORE

__all__ = ["FEWEST", "RATE", "SIGMAS", "Masked", "Survey", "make_survey", "sigma"]

SIGMAS = 6.1  # a normal variable is further away, on one side, once in two thousand million times
RATE = 0.15
FEWEST = 100  # selected tokens, to speak of their shares
MANY_ROWS = 20  # of as many tokens each, to speak of how they vary


@dataclass(frozen=True)
class Masked:
    """One call: what went in, and what came back, with faults of form put right and noted."""

    ids: Tensor
    mask_id: int
    vocab: int
    special_ids: Tensor
    rate: float
    inputs: Tensor
    labels: Tensor
    faults: Mapping[str, str]

    @cached_property
    def special(self) -> Tensor:
        return torch.isin(self.ids, self.special_ids)

    @cached_property
    def ordinary(self) -> Tensor:
        return ~self.special

    @cached_property
    def labelled(self) -> Tensor:
        return self.labels != IGNORE

    @cached_property
    def selected(self) -> Tensor:
        return self.labelled & self.ordinary

    @cached_property
    def masked(self) -> Tensor:
        return (self.inputs == self.mask_id) & (self.ids != self.mask_id)

    @cached_property
    def replaced(self) -> Tensor:
        """Tokens that became another one, not the mask token."""
        return (self.inputs != self.mask_id) & (self.inputs != self.ids)

    @cached_property
    def words(self) -> Tensor:
        """Ordinary ids that stand in the place of others."""
        changed = self.inputs[self.replaced & self.ordinary]
        return changed[~torch.isin(changed, self.special_ids)]

    @cached_property
    def count(self) -> int:
        return int(self.selected.sum())

    @cached_property
    def trials(self) -> int:
        return int(self.ordinary.sum())

    @cached_property
    def chosen(self) -> float:
        """The share of ordinary tokens that was selected."""
        return self.count / self.trials

    @cached_property
    def shares(self) -> tuple[float, float, float]:
        """The shares of the selected tokens that are masked, replaced and kept."""
        masked, replaced = (int((what & self.selected).sum()) for what in (self.masked, self.replaced))
        return tuple(number / max(self.count, 1) for number in (masked, replaced, self.count - masked - replaced))

    @cached_property
    def shares_one_id(self) -> str:
        """Name the lines whose random tokens are all the same: "row", "column" or none."""
        for name, changed, inputs in (
            ("row", self.replaced & self.selected, self.inputs),
            ("column", (self.replaced & self.selected).T, self.inputs.T),
        ):
            lines, words = changed.nonzero()[:, 0], inputs[changed]
            side_by_side = lines[1:] == lines[:-1]
            if side_by_side.sum() > FEWEST and (words[1:] == words[:-1])[side_by_side].all():
                return name
        return ""

    @cached_property
    def shares_one_lot(self) -> str:
        """Name the lines whose selected tokens all became the same: "row", "column" or none."""
        axis = {"row": 1, "column": 0}
        name = self.uneven_lots
        return name if name and _all_or_none(axis[name], self.selected, self.masked) else ""

    @cached_property
    def uneven_lots(self) -> str:
        """Name the lines whose shares of masked tokens differ more than a draw for each token lets them, or none."""
        for axis, name in ((1, "row"), (0, "column")):
            if _varies(axis, (self.selected, self.masked & self.selected, self.shares[0])) > SIGMAS:
                return name
        return ""


@dataclass(frozen=True)
class Survey:
    """All calls, those that raised left out."""

    calls: Mapping[str, Masked]
    several: Mapping[str, Masked]
    ids_changed: bool

    @property
    def text(self) -> Masked:
        return self.calls[TEXT]

    @property
    def often(self) -> Masked:
        return self.calls[OFTEN]

    @property
    def narrow(self) -> Masked:
        return self.calls[NARROW]

    @property
    def few(self) -> Masked:
        return self.calls[FEW]

    @cached_property
    def is_blind(self) -> bool:
        """Whether every token has a label, so that nobody sees which were selected."""
        return self.text.chosen > 0.9

    @cached_property
    def everywhere(self) -> tuple[Masked, ...]:
        """All calls that drew for themselves."""
        return (*self.calls.values(), *self.several.values())

    @cached_property
    def one_fate(self) -> bool:
        """Whether the selected tokens of a call are all masked, or none of them, now so and now so."""
        found = {call.shares[0] for call in self.everywhere if call.count}
        return found == {0.0, 1.0}

    @cached_property
    def places_vary(self) -> bool:
        return _varies(0, (self.text.ordinary, self.text.selected, self.text.chosen)) > SIGMAS

    @cached_property
    def same_places(self) -> bool:
        return self.places_vary and _all_or_none(0, self.text.ordinary, self.text.selected)

    @cached_property
    def rows_vary(self) -> float:
        """How far the rows' shares of selected tokens are from those of independent draws."""
        return _varies(1, *((call.ordinary, call.selected, call.chosen) for call in (self.text, self.often)))

    @cached_property
    def whole_rows(self) -> bool:
        return self.rows_vary > SIGMAS and _all_or_none(1, self.text.ordinary, self.text.selected)

    @cached_property
    def fixed_share(self) -> bool:
        """Whether each row has its share of the selected tokens, to one token."""
        calls = ((call.selected.sum(1), call.ordinary.sum(1) * call.chosen) for call in (self.text, self.often))
        return all(((counts - expected).abs() <= 1).all() for counts, expected in calls)

    @cached_property
    def neighbours(self) -> float:
        """How far tokens are selected with those beside them, or instead of them; draws for each give about 0."""
        products, trials = 0.0, 0
        for call in (self.text, self.often):
            share = call.selected.sum(1, keepdim=True) / call.ordinary.sum(1, keepdim=True).clamp(min=1)
            far = (call.selected.double() - share) * call.ordinary
            products += float((far[:, 1:] * far[:, :-1]).sum()) / max(call.chosen * (1 - call.chosen), 1e-9)
            trials += int((call.ordinary[:, 1:] & call.ordinary[:, :-1]).sum())
        return products / math.sqrt(trials)

    @cached_property
    def ignores_rate(self) -> bool:
        return all(abs(call.chosen - RATE) < 0.04 for call in (self.text, self.often))

    @cached_property
    def draws_above_special(self) -> bool:
        """Whether no call drew an id below the highest special one, though there were some to draw."""
        return all(not (call.words < call.special_ids.max()).any() for call in self.everywhere)

    @cached_property
    def draws_one_id(self) -> bool:
        """Whether each call drew one id alone for all its tokens."""
        return all(len(call.words.unique()) == 1 for call in (self.text, self.often, *self.several.values()))

    @cached_property
    def drawn(self) -> tuple[list[int], Tensor, Tensor]:
        """The ordinary ids, how often each was drawn in place of another, and how often that was to be expected."""
        it = self.often
        ids = [v for v in range(it.vocab) if v not in it.special_ids]
        changed = it.replaced & it.selected & torch.isin(it.inputs, torch.tensor(ids))
        counts = it.inputs[changed].bincount(minlength=it.vocab)[ids].double()
        before = it.ids[changed].bincount(minlength=it.vocab)[ids].double()
        return ids, counts, (before.sum() - before) / (len(ids) - 1)

    def equal(self, one: str, other: str, *parts: str) -> bool:
        """Say whether two of the several calls gave the same."""
        calls = (self.several[one], self.several[other])
        return all(torch.equal(*(getattr(call, part) for call in calls)) for part in parts or ("inputs", "labels"))


def sigma(share: float, trials: int) -> float:
    """Give the standard deviation of a share of independent draws."""
    return math.sqrt(share * (1 - share) / trials)


def make_survey(seen: list[Observation], cases: list[Case]) -> Survey | str:
    """Look at the calls that came back; a sentence if one of them is not a pair of tensors."""
    calls: dict[str, Masked] = {}
    several: dict[str, Masked] = {}
    for got, case in zip(seen, cases, strict=True):
        if got.kind == "error":
            continue
        if case.group == TWICE and (got.kind != "dict" or set(got.value) != set(CALLS)):
            return f"expected the answers of {len(CALLS)} calls, got something else"
        pairs = got.value if case.group == TWICE else {case.group: got}
        for name, pair in pairs.items():
            said = _is_no_pair(pair, case)
            if said is not None:
                return said
            (several if case.group == TWICE else calls)[name] = _masked(pair, case)
    return Survey(calls, several, any(got.inputs_changed for got in seen))


def _is_no_pair(got: Observation, case: Case) -> str | None:
    if got.kind != "list" or len(got.value) != 2 or any(part.kind != "tensor" for part in got.value):
        parts = f"{len(got.value)} parts" if got.kind == "list" else f"one {got.kind}"
        kinds = {"none": "None: did you forget `return`?", "dict": "a dict", "other": got.type}
        return f"expected two tensors, inputs and labels, got {kinds.get(got.kind, parts)}"
    shape = case.args[0].shape
    for name, part in zip(("inputs", "labels"), got.value, strict=True):
        if part.value.shape != shape or part.value.is_meta:
            return f"expected {name} with the shape of ids, {tuple(shape)}, got {tuple(part.value.shape)}"
    return None


def _masked(pair: Observation, case: Case) -> Masked:
    ids, mask_id, vocab, *special_ids = case.args
    inputs, labels = (part.value for part in pair.value)
    faults = {}
    if labels.dtype == torch.bool:
        faults["labels are yes or no"] = (
            "labels are True and False; expected the original id where a token was selected, -100 elsewhere"
        )
        labels = torch.where(labels, ids, IGNORE)
    for name, part in (("inputs", inputs), ("labels", labels)):
        if part.dtype != ids.dtype:
            faults["another dtype"] = f"expected {name} in the dtype of ids, {ids.dtype}, got {part.dtype}"
    inputs, labels = (part.nan_to_num().to(ids.dtype) if part.is_floating_point() else part.to(ids.dtype)
                      for part in (inputs, labels))  # fmt: skip
    has_masks = ((labels == mask_id) & (ids != mask_id)).any()
    if (inputs == IGNORE).any() and not (labels == IGNORE).any() and has_masks:
        faults["labels stand first"] = "the first of the two tensors holds -100, so it is the labels: inputs come first"
        inputs, labels = labels, inputs
    other = labels[labels != ids]
    if len(other) > ids.numel() / 20 and not (labels == IGNORE).any():
        number = int(other.mode().values)
        if (other == number).sum() > 0.9 * len(other):
            faults["another number"] = (
                f"where nothing was selected the label is {number}; F.cross_entropy passes over -100 alone"
            )
            labels = labels.masked_fill(labels == number, IGNORE)
    special = torch.tensor([mask_id, *(special_ids[0] if special_ids else ())])
    return Masked(ids, mask_id, vocab, special, case.kwargs.get("rate", RATE), inputs, labels, faults)


def _all_or_none(axis: int, among: Tensor, chosen: Tensor) -> bool:
    """Whether all of those in a line were chosen, or none of them, in every line along an axis."""
    counts = (among & chosen).sum(axis)
    return bool(((counts == 0) | (counts == among.sum(axis))).all())


def _varies(axis: int, *calls: tuple[Tensor, Tensor, float]) -> float:
    """Give how far counts along an axis vary from those of independent draws; below 0 they vary too little.

    The statistic is a chi-square, turned into a normal variable (Wilson and Hilferty 1931).
    calls: for each the tokens that count, those that were chosen, and their share.
    """
    squares, freedom = 0.0, 0
    for among, chosen, share in calls:
        trials = among.sum(axis)
        enough = trials >= MANY_ROWS
        if 0 < share < 1:
            trials, counts = trials[enough].double(), chosen.sum(axis)[enough]
            squares += float(((counts - trials * share) ** 2 / (trials * share * (1 - share))).sum())
            freedom += len(trials)
    if freedom < MANY_ROWS:
        return 0.0
    step = math.sqrt(2 / (9 * freedom))
    z = ((squares / freedom) ** (1 / 3) - 1 + step**2) / step
    return min(z, max(z - 1, 0))  # counts of a few have a heavier tail above than a normal variable
