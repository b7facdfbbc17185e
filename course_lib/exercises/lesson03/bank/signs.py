"""The symptoms of a wrong `mask_tokens`, each a sentence about what came back."""

from collections.abc import Callable

import torch

from course_lib.exercises.lesson03.bank.surveys import FEWEST, SIGMAS, Masked, Survey, sigma
from course_lib.exercises.lesson03.bank.symptoms import Symptom
from course_lib.exercises.lesson03.run import FEW, NARROW, OFTEN, TEXT, TWICE
from course_lib.objectives import IGNORE

__all__ = ["CORE", "GROUPS", "SYMPTOMS"]

HIDDEN = "labels say what was hidden"
SHARES = "80 % masked, 10 % random, 10 % kept"
CHOICE = "each ordinary token for itself, with probability rate"
SPECIAL = "special tokens are neither selected nor drawn"
PURE = "same seed, same answer, and ids stay as they are"
FORM = "whole numbers in the dtype of ids"
GROUPS = {HIDDEN: 1, SHARES: 2, CHOICE: 1, SPECIAL: 1, PURE: 1, FORM: 1}
CORE = (HIDDEN, SHARES)
BLIND = "which tokens were selected cannot be seen, since every token has a label"
MASKED, REPLACED, KEPT = range(3)
DONE = ("became the mask token", "were replaced by another token", "stayed as they were")
# What a right answer may give: a random token may be the one that stood there, one time in nine, or never.
BOUNDS = ((0.8, 0.8), (0.8 / 9, 0.1), (0.1, 1 / 9))

Find = Callable[[Survey], str | None]
Shares = Callable[[Survey], list[tuple[float, int]]]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _fault(name: str) -> Symptom:
    return Symptom(HIDDEN, (TEXT,), lambda survey: survey.text.faults.get(name))


def _ignore_is_shown(survey: Survey) -> str | None:
    count = int((survey.text.inputs == IGNORE).sum())
    return f"inputs hold -100 in {count} places, which is no id" if count else None


def _nothing_is_hidden(survey: Survey) -> str | None:
    return None if any(call.masked.any() for call in survey.everywhere) else "no token became the mask token"


def _all_have_labels(survey: Survey) -> str | None:
    it = survey.text
    found = f"{int(it.labelled.sum())} of {it.ids.numel()} labels are ids"
    return f"{found}; expected -100 for every token that was not selected" if survey.is_blind else None


def _most_are_masked(survey: Survey) -> str | None:
    it = survey.text
    share = int((it.masked & it.ordinary & (survey.is_blind | ~it.labelled)).sum()) / it.trials
    return f"{_percent(share)} of the ordinary tokens {DONE[MASKED]}; expected about 12 %" if share > 0.5 else None


def _hidden_without_label(survey: Survey) -> str | None:
    it = survey.text
    lost = int((it.masked & it.ordinary & ~it.labelled).sum())
    return f"{lost} of the {int(it.masked.sum())} tokens that {DONE[MASKED]} have no label" if lost else None


def _wrong_label(is_new: bool) -> Find:
    """Labels that are not what stood in ids: most of them what stands in inputs now, or not."""

    def find(survey: Survey) -> str | None:
        it = survey.text
        wrong = it.labelled & (it.labels != it.ids)
        new = wrong & (it.labels == it.inputs)
        if not wrong.any() or is_new != (2 * new.sum() > wrong.sum()):
            return None
        wrong = new if is_new else wrong
        row, place = wrong.nonzero()[0].tolist()
        said = "hold what stands in inputs now" if is_new else "are neither -100 nor the original id"
        return (
            f"{int(wrong.sum())} labels {said}; the first is labels[{row}][{place}]: expected {it.ids[row, place]}, "
            f"got {it.labels[row, place]}"
        )

    return find


def _seeing(group: str, looks_at: tuple[str, ...], find: Find, shares: Shares | None = None) -> Symptom:
    """Make a symptom that shows only where labels tell which tokens were selected."""
    known = shares and (lambda survey: [] if survey.is_blind else shares(survey))
    return Symptom(group, (*looks_at, TEXT), lambda survey: BLIND if survey.is_blind else find(survey), known)


def _replaced_without_label(survey: Survey) -> str | None:
    it = survey.text
    changed = it.replaced & it.ordinary
    lost = int((changed & ~it.labelled).sum())
    return f"{lost} of the {int(changed.sum())} tokens that {DONE[REPLACED]} have no label" if lost else None


def _too_few_to_judge(survey: Survey) -> str | None:
    it = survey.often
    return f"only {it.count} of {it.trials} ordinary tokens have a label" if it.count < FEWEST else None


def _one_lot(survey: Survey) -> str | None:
    if survey.one_fate:
        return "the selected tokens of a call are all masked, or none of them is; expected a draw for each token"
    name = survey.often.shares_one_lot
    return f"the selected tokens of one {name} share their fate; expected a draw for each token" if name else None


def _uneven_lots(survey: Survey) -> str | None:
    name = survey.often.uneven_lots
    if survey.one_fate or survey.often.shares_one_lot or not name:
        return None
    return f"how many selected tokens become the mask token differs with the {name}; expected a draw for each token"


def _share(index: int, sign: int, least: float = 0.0, most: float = 1.0) -> Symptom:
    """A share of the selected tokens that is too small (sign -1) or too large (1), and within least and most."""
    low, high = BOUNDS[index]

    def find(survey: Survey) -> str | None:
        it = survey.often
        share = it.shares[index]
        if survey.one_fate or it.uneven_lots or it.count < FEWEST or not least <= share < most + (most == 1):
            return None
        bound = low if sign < 0 else high
        if sign * (share - bound) <= SIGMAS * sigma(bound, it.count):
            return None
        expected = _percent(low) if low == high else f"{_percent(low)} to {_percent(high)}"
        return f"{_percent(share)} of the {it.count} selected tokens {DONE[index]}; expected about {expected}"

    def shares(survey: Survey) -> list[tuple[float, int]]:
        few = survey.calls.get(FEW) if index == REPLACED else None  # what is left out is most where ids are few
        return [(it.shares[index], it.count) for it in (survey.often, few) if it and it.count]

    return _seeing(SHARES, (OFTEN,), find, shares)


def _beyond(survey: Survey) -> str | None:
    it = survey.often
    beyond = it.inputs[(it.inputs >= it.vocab) | (it.inputs < 0) & (it.inputs != IGNORE)]
    last = it.vocab - 1
    return f"{len(beyond)} inputs are no ids, such as {beyond[0]}; ids are 0 to {last}" if len(beyond) else None


def _uneven(kind: str) -> Symptom:
    """Ids that are drawn never, or too often."""

    def find(survey: Survey) -> str | None:
        ids, counts, expected = survey.drawn
        missing = [v for v, count, want in zip(ids, counts, expected, strict=True) if not count and want > FEWEST / 4]
        far = (counts - expected).abs() > (SIGMAS + 1) * (expected * (1 - 1 / (len(ids) - 1))).sqrt()
        line = survey.often.shares_one_id
        if survey.one_fate or counts.sum() < FEWEST or not (missing or far.any() or line):
            return None
        if survey.draws_above_special:
            found, said = "above special ids", f"no id below the highest special one was drawn, such as {missing}"
        elif survey.draws_one_id:
            found, said = "one id for all", "one and the same id was drawn for all tokens of a call"
        elif line:
            found, said = "one id for a line", f"one and the same id was drawn for all tokens of a {line}"
        elif missing == ids[-1:]:
            found, said = "never the last id", f"the last ordinary id, {ids[-1]}, was never drawn"
        elif missing and not set(missing) & set(survey.often.ids.unique().tolist()):
            found, said = "ids of the batch", f"ids that occur nowhere in ids were never drawn: {missing}"
        else:
            times = ", ".join(f"{v} {int(count)} times" for v, count in zip(ids, counts, strict=True))
            found, said = "drawn unevenly", f"random tokens were not drawn evenly: {times}"
        return said if found == kind else None

    return _seeing(SHARES, (OFTEN,), find)


def _rate(sign: int) -> Symptom:
    """Too few selected tokens (-1), or too many (1); where draws are shared, their share says nothing."""

    def find(survey: Survey) -> str | None:
        if survey.ignores_rate or survey.places_vary or survey.rows_vary > SIGMAS:
            return None
        for it in (survey.often, survey.text):
            if sign * (it.chosen - it.rate) > SIGMAS * sigma(it.rate, it.trials):
                return _selected(it)
        return None

    return _seeing(CHOICE, (OFTEN,), find, lambda survey: [(survey.often.chosen, survey.often.trials)])


def _selected(it: Masked) -> str:
    return f"{_percent(it.chosen)} of {it.trials} ordinary tokens were selected; rate was {it.rate}"


def _ignores_rate(survey: Survey) -> str | None:
    return _selected(survey.often) if survey.ignores_rate else None


def _same_places(survey: Survey) -> str | None:
    return "the same places are selected in every row; expected a draw for each token" if survey.same_places else None


def _uneven_places(survey: Survey) -> str | None:
    if survey.same_places or not survey.places_vary:
        return None
    return "some places are selected more often than others; expected a draw for each token"


def _whole_rows(survey: Survey) -> str | None:
    return "rows are selected as a whole or not at all; expected a draw for each token" if survey.whole_rows else None


def _uneven_rows(survey: Survey) -> str | None:
    if survey.whole_rows or survey.rows_vary <= SIGMAS:
        return None
    return "the rows' shares of selected tokens differ more than a draw for each token lets them"


def _fixed_share(survey: Survey) -> str | None:
    if survey.places_vary or survey.rows_vary > -SIGMAS or not survey.fixed_share:
        return None
    return "every row has the same share of selected tokens; with a draw for each token the shares vary"


def _even_rows(survey: Survey) -> str | None:
    if survey.places_vary or survey.rows_vary > -SIGMAS or survey.fixed_share:
        return None
    return "the rows' shares of selected tokens differ less than a draw for each token lets them"


def _neighbours(survey: Survey) -> str | None:
    if survey.places_vary or abs(survey.neighbours) <= SIGMAS + 1:
        return None
    how = "more" if survey.neighbours > 0 else "less"
    return f"a token is selected {how} often if the one beside it is; expected a draw for each token"


def _touched(is_mask: bool) -> Find:
    """Special tokens that were selected: the mask token, or the others."""

    def find(survey: Survey) -> str | None:
        it = survey.text
        there = it.special & ((it.ids == it.mask_id) == is_mask)
        touched = there & ((it.inputs != it.ids) | (it.labelled & (not survey.is_blind)))
        name = "tokens that were masked before" if is_mask else "special tokens (start, end, padding)"
        return f"{int(touched.sum())} of {int(there.sum())} {name} were selected" if touched.any() else None

    return find


def _special_drawn(survey: Survey) -> str | None:
    it = survey.text
    special = it.ids[it.special & (it.ids != it.mask_id)].unique()
    count = int((it.replaced & it.ordinary & torch.isin(it.inputs, special)).sum())
    return f"{count} tokens were replaced by special ones, of {special.tolist()}" if count else None


def _mask_drawn(survey: Survey) -> str | None:
    """Beside two ordinary ids, a mask token among the random ones makes 83 % mask tokens instead of 80 %."""
    it = survey.few
    share, often = it.shares[MASKED], survey.often.shares[MASKED]
    enough = SIGMAS * sigma(0.8, max(it.count, 1)) < share - 0.8 < 0.06
    # Of ten ids that are drawn, one is the mask token; where still more are masked, it says nothing of these.
    if it.uneven_lots or not enough or often > 0.81 + SIGMAS * sigma(0.8, max(survey.often.count, 1)):
        return None
    return f"{_percent(share)} of the {it.count} selected tokens {DONE[MASKED]}; expected 80 %, and no other masks"


def _elsewhere(words_alone: bool) -> Symptom:
    """Two calls with one seed that differ: in what is selected, or in the random tokens alone."""

    def find(survey: Survey) -> str | None:
        calls = ("a call", "the same seed")
        if survey.equal(*calls) or survey.equal(*calls, "labels") != words_alone:
            return None
        differ = "the same selection and other inputs" if words_alone else "other selections"
        return f"a second generator with the same seed gave {differ}: not all chance comes from generator"

    return Symptom(PURE, (TWICE,), find)


def _not_torchs_own(survey: Survey) -> str | None:
    if survey.equal("without a generator", "set back"):
        return None
    return "without a generator, torch.manual_seed does not settle what is drawn: expected torch's own chance"


def _again(one: str, other: str, calls: str) -> Symptom:
    said = f"{calls} gave the same; expected chance to go on"
    return Symptom(PURE, (TWICE,), lambda survey: said if survey.equal(one, other) else None)


def _ids_changed(survey: Survey) -> str | None:
    return "the call changed ids in place; work on copies" if survey.ids_changed else None


SYMPTOMS = {
    "labels stand first": _fault("labels stand first"),
    "labels are yes or no": _fault("labels are yes or no"),
    "another number": _fault("another number"),
    "-100 in the inputs": Symptom(HIDDEN, (TEXT,), _ignore_is_shown),
    "nothing is hidden": Symptom(HIDDEN, (TEXT,), _nothing_is_hidden),
    "all have labels": Symptom(HIDDEN, (TEXT,), _all_have_labels),
    "most are masked": Symptom(HIDDEN, (TEXT,), _most_are_masked),
    "hidden without a label": Symptom(HIDDEN, (TEXT,), _hidden_without_label),
    "labels are new": Symptom(HIDDEN, (TEXT,), _wrong_label(True)),
    "labels are others": Symptom(HIDDEN, (TEXT,), _wrong_label(False)),
    "replaced without a label": _seeing(SHARES, (TEXT,), _replaced_without_label),
    "too few to judge": _seeing(SHARES, (OFTEN,), _too_few_to_judge),
    "one lot": _seeing(SHARES, (OFTEN,), _one_lot),
    "uneven lots": _seeing(SHARES, (OFTEN,), _uneven_lots),
    "few masked": _share(MASKED, -1),
    "many masked": _share(MASKED, 1),
    "none replaced": _share(REPLACED, -1, most=0.002),
    "hardly any replaced": _share(REPLACED, -1, 0.002, 0.03),
    "few replaced": _share(REPLACED, -1, 0.03),
    "many replaced": _share(REPLACED, 1),
    "few kept": _share(KEPT, -1),
    "many kept": _share(KEPT, 1),
    "beyond the vocabulary": Symptom(SHARES, (OFTEN,), _beyond),
    **{kind: _uneven(kind) for kind in (
        "above special ids", "one id for all", "one id for a line", "never the last id", "ids of the batch",
        "drawn unevenly",
    )},
    "same places": _seeing(CHOICE, (TEXT,), _same_places),
    "uneven places": _seeing(CHOICE, (TEXT,), _uneven_places),
    "neighbours": _seeing(CHOICE, (OFTEN,), _neighbours),
    "whole rows": _seeing(CHOICE, (OFTEN,), _whole_rows),
    "uneven rows": _seeing(CHOICE, (OFTEN,), _uneven_rows),
    "fixed share": _seeing(CHOICE, (OFTEN,), _fixed_share),
    "rate is ignored": _seeing(CHOICE, (OFTEN,), _ignores_rate),
    "few selected": _rate(-1),
    "many selected": _rate(1),
    "even rows": _seeing(CHOICE, (OFTEN,), _even_rows),
    "special selected": Symptom(SPECIAL, (TEXT,), _touched(False)),
    "mask selected": Symptom(SPECIAL, (TEXT,), _touched(True)),
    "special drawn": Symptom(SPECIAL, (TEXT,), _special_drawn),
    "mask drawn": Symptom(SPECIAL, (FEW,), _mask_drawn),
    "chance from elsewhere": _elsewhere(False),
    "words from elsewhere": _elsewhere(True),
    "the next call": _again("a call", "the next call", "two calls in a row with one generator"),
    "another seed": _again("a call", "another seed", "two generators with different seeds"),
    "without a generator": _again("without a generator", "without one again", "two calls without a generator"),
    "not torch's own": Symptom(PURE, (TWICE,), _not_torchs_own),
    "ids changed": Symptom(PURE, (TEXT,), _ids_changed),
    "another dtype": Symptom(FORM, (TEXT,), lambda survey: survey.text.faults.get("another dtype")),
    "another dtype than int32": Symptom(FORM, (NARROW,), lambda survey: survey.narrow.faults.get("another dtype")),
}  # fmt: skip
