"""Confounds: in what two training arms differ beyond the declared treatment.

The ancestor's mixture was trained with batch 5 x accumulation 4 and packing, its single-teacher baselines
with 2 x 1 and none: ten times fewer updates, so that a difference in scores says nothing about the
mixture (paper, appendix B). A comparison with any confound yields no verdict.

Data yield is different. If the mixture is the treatment, teachers that solve more items give more rows,
and at equal epochs more updates: that is what the choice of a teacher does. It is no confound while the
updates differ by less than `YIELD_TOLERANCE`. Seeds are noise, not bias, and never a confound.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from capgap_ray.records import Confound, RecipeCard

YIELD_TOLERANCE = 1.5
"""Largest ratio of updates that counts as data yield. The paper's guideline speaks of teachers that yield
1.3 times the rows, so those must stay comparable; its extreme yields (Dyck, 1.46 and 1.94) change the
length of training so much that updates alone may explain a gain, and need a control arm with matched
updates before a verdict. 1.5 lies between; the ancestor's tenfold difference is far beyond."""

_COUNTS = {
    "samples_per_update": "samples per update",
    "epochs": "epochs",
    "learning_rate": "learning rate",
    "cutoff_tokens": "cut-off",
    "rows_dropped": "rows dropped",
    "rows_cut": "rows cut",
    "rows_held_out": "rows held out",
    "weight_decay": "weight decay",
    "clip": "gradient clipping",
    "token_budget": "tokens to answer",
}
_NOT_COUNTED = ("learning_rate", "cutoff_tokens", "weight_decay", "clip")
_WORDS = {
    "student": "student",
    "mixture": "mixture",
    "method": "method",
    "schedule": "learning-rate schedule",
    "packing": "packing",
    "filter": "filter of rationales",
    "rendering": "system message or final newline of training",
    "attention": "reach of attention",
    "loss": "averaging of the loss",
    "precision": "precision",
    "overlength": "over-length policy",
    "template_hash": "chat template of training",
    "prompt_hash": "prompt of evaluation",
    "engine": "engine of evaluation",
    "judge": "judge",
}


_FIELDS_OF_AXIS = {
    "student": ("student",),
    "mixture": ("mixture",),
    "filter": ("filter",),
    "sft.batch": ("samples_per_update",),
    "sft.workers": ("samples_per_update", "workers"),
    "sft.epochs": ("epochs", "updates"),
    "sft.warmup_ratio": ("warmup_updates",),
    "sft.cutoff_tokens": ("cutoff_tokens", "rows_dropped", "rows_cut"),
    "sft.overlength": ("overlength", "rows_dropped", "rows_cut"),
    "sft.lora": ("method",),
    "sft.system": ("rendering", "template_hash"),
    "sft.loss_on_final_newline": ("rendering", "template_hash"),
}
"""Axis or its first parts -> the card's fields that the axis itself sets. Any other axis of `sft` sets the field of
its own name."""


def treated_fields(axes: Collection[str]) -> frozenset[str]:
    """Return the fields of RecipeCard that differ by declaration where the arms differ in these axes."""
    found: set[str] = set()
    for axis in axes:
        parts = axis.split(".")
        known = next((head for n in (2, 1) if (head := ".".join(parts[:n])) in _FIELDS_OF_AXIS), None)
        found.update(_FIELDS_OF_AXIS[known] if known else parts[1:2])
    return frozenset(found)


def find_confounds(
    left: RecipeCard, right: RecipeCard, treatment: Collection[str] = ("mixture",)
) -> tuple[Confound, ...]:
    """Return every difference beyond the treatment; notes tell right relative to left.

    `treatment` names fields of RecipeCard that are meant to differ. What follows from a declared batch
    size (fewer updates at equal epochs) is still reported unless declared as well or matched. Equal
    samples per update reached by another split over devices, accumulation and workers are equal: the
    trainer weights tokens alike.
    """
    found = []

    def note(field: str, text: str) -> None:
        if field not in treatment:
            found.append(Confound(field=field, left=_shown(left, field), right=_shown(right, field), note=text))

    data = "mixture" in treatment or "filter" in treatment
    natural = data and _differ_by_yield(left, right)
    if left.updates != right.updates and not natural:
        note("updates", _ratio(left.updates, right.updates, "updates", many=True))
    for field, name in _COUNTS.items():
        if field == "epochs" and data and _matched(left, right) and _explained(left) and _explained(right):
            continue  # other epochs are what equal updates or tokens cost with another number of rows
        if field == "samples_per_update" and data and left.packing and _places(left) == _places(right):
            continue
        before, after = getattr(left, field), getattr(right, field)
        if before is None or after is None:
            if before is not after:
                note(field, f"other {name} ({_shown(left, field)} against {_shown(right, field)})")
        elif not _same(before, after):
            note(field, _ratio(before, after, name, many=field not in _NOT_COUNTED))
    if left.workers != right.workers and any(c.field == "samples_per_update" for c in found):
        note("workers", _ratio(left.workers, right.workers, "workers", many=True))
    if left.warmup_updates != right.warmup_updates and not (natural and _same_warmup_share(left, right)):
        note("warmup_updates", _ratio(left.warmup_updates, right.warmup_updates, "warm-up updates", many=True))
    if not _same(left.lr_integral, right.lr_integral) and not _integral_is_declared(left, right, treatment, natural):
        note("lr_integral", _ratio(left.lr_integral, right.lr_integral, "summed learning rate", many=False))
    for field, name in _WORDS.items():
        if getattr(left, field) != getattr(right, field):
            note(field, f"other {name} ({_shown(left, field)} against {_shown(right, field)})")
    return tuple(found)


def _differ_by_yield(left: RecipeCard, right: RecipeCard) -> bool:
    """Whether the updates differ by no more than the rows explain, and within the tolerance."""
    if _places(left) != _places(right):
        return False
    if not _same(left.epochs, right.epochs) and not _matched(left, right):
        return False
    if not _explained(left) or not _explained(right):
        return False
    return max(left.updates, right.updates) / min(left.updates, right.updates) < YIELD_TOLERANCE


def _explained(card: RecipeCard) -> bool:
    """Whether rows, epochs and batch give the updates, but for one per epoch for rounding."""
    if not min(card.updates, card.samples_per_update):
        return False
    expected = card.epochs * math.ceil(card.rows / card.samples_per_update)
    return abs(card.updates - expected) <= max(1.0, card.epochs)


def _places(card: RecipeCard) -> tuple[bool, int]:
    """Examples per update, or packs: how many examples a pack holds is in the nature of the data."""
    return card.packing, card.per_device_batch_size * card.gradient_accumulation_steps * card.workers


def _matched(left: RecipeCard, right: RecipeCard) -> bool:
    """Whether two arms of one batch size were trained for equally long: the same updates, or the same supervised
    tokens to the nearest update."""
    if _places(left) != _places(right):
        return False
    one = max(left.supervised_tokens_per_update, right.supervised_tokens_per_update)
    return left.updates == right.updates or abs(left.supervised_tokens - right.supervised_tokens) <= one


def _integral_is_declared(left: RecipeCard, right: RecipeCard, treatment: Collection[str], natural: bool) -> bool:
    """Whether all that makes the summed learning rates differ is declared or data yield."""
    causes = {
        field
        for field in ("updates", "learning_rate", "schedule", "warmup_updates")
        if getattr(left, field) != getattr(right, field)
    }
    excused = set(treatment)
    if natural:
        excused |= {"updates", "warmup_updates"} if _same_warmup_share(left, right) else {"updates"}
    return bool(causes) and causes <= excused


def _same_warmup_share(left: RecipeCard, right: RecipeCard) -> bool:
    """Whether both warm up for the same share of training, or the same number of updates."""
    if left.warmup_updates == right.warmup_updates:
        return True
    shares = [card.warmup_updates / card.updates for card in (left, right)]
    return abs(shares[0] - shares[1]) * min(left.updates, right.updates) <= 1


def _same(left: float, right: float) -> bool:
    return math.isclose(left, right, rel_tol=1e-9)


def _ratio(left: float, right: float, name: str, *, many: bool) -> str:
    """Return the change from left to right in words: `10.0x fewer updates`, `3 more rows cut`, `0.2 % ...`."""
    more, fewer = ("more", "fewer") if many else ("higher", "lower")
    direction = more if right > left else fewer
    low, high = sorted((left, right))
    if low <= 0:
        return f"{high - low:g} {direction} {name}"
    ratio = high / low
    size = f"{ratio:.1f}x" if ratio >= 1.05 else f"{100 * (ratio - 1):.2g} %"
    return f"{size} {direction} {name}"


def _shown(card: RecipeCard, field: str) -> str:
    value = getattr(card, field)
    if field == "template_hash":
        return f"{card.chat_template} {value}"
    return f"{value:g}" if isinstance(value, float) else str(value)
