"""The tiny family as data: shapes, reasoning style, and how long each member was trained."""

from dataclasses import dataclass, field

from capgap_ray.tiny.procedural import TASKS

HEAD_DIM = 32
"""vLLM's CPU attention takes 32, 64, 80, 96 or 128."""
MAX_POSITIONS = 2048
SHORT_ROW = 384
LONG_ROW = {"short": 704, "long": 768, "judge": 384}
"""Tokens of a packed row without worked examples, and with three of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of the family. All are transformers of the Qwen 2 kind with tied embeddings."""

    name: str
    hidden: int
    layers: int
    intermediate: int
    style: str
    """short, long or judge: what its replies look like."""
    updates: int
    """Optimizer updates in all."""
    short_updates: int
    """Updates on short rows, which come first: copying is learnt faster where there is less to read."""
    decay_from: int
    """Update at which the learning rates begin their linear fall to zero."""
    copying_updates: int = 150
    """Updates, from the first, on chats about copying only (the judge: on skewed probes).

    Without that skill the tasks' losses stay on a plateau.
    """
    starts_from: str | None = None
    """Member, earlier in the list, whose final weights are the initial ones; None: random weights."""
    tokens_per_update: int = 4224
    """Tokens of one batch, padding included."""
    matrix_rate: float = 0.01
    """Peak learning rate of Muon (matrices), scaled to AdamW's step size."""
    rate: float = 0.003
    """Peak learning rate of AdamW (embeddings, norms, biases)."""
    coarse: float = 0.0
    """The judge's: chance that a wrong sequence differs from the gold in up to three places instead of one."""
    seed: int = 1
    committed: bool = True
    """False: only a stage on the way to others, not exported to `models/`."""
    shares: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TASKS, 1.0))
    """Weight of each task in the training stream."""


FAMILY = {
    member.name: member
    for member in (
        Member(
            name="tiny-teacher-small",
            hidden=128,
            layers=5,
            intermediate=256,
            style="short",
            updates=1200,
            short_updates=900,
            decay_from=800,
        ),
        Member(
            name="tiny-teacher-large",
            hidden=128,
            layers=8,
            intermediate=256,
            style="short",
            updates=1500,
            short_updates=1050,
            decay_from=850,
            copying_updates=0,
            starts_from="tiny-teacher-small",
            matrix_rate=0.003,
            rate=0.001,
        ),
        Member(
            name="tiny-teacher-long",
            hidden=128,
            layers=8,
            intermediate=256,
            style="long",
            updates=220,
            short_updates=110,
            decay_from=50,
            copying_updates=0,
            starts_from="tiny-teacher-large",
            matrix_rate=0.003,
            rate=0.001,
        ),
        Member(
            name="tiny-student-0.15m",
            hidden=64,
            layers=2,
            intermediate=160,
            style="short",
            updates=420,
            short_updates=280,
            decay_from=300,
        ),
        Member(
            name="tiny-student-0.5m",
            hidden=128,
            layers=2,
            intermediate=256,
            style="short",
            updates=380,
            short_updates=260,
            decay_from=280,
        ),
        Member(
            name="tiny-judge-letters",
            hidden=64,
            layers=4,
            intermediate=160,
            style="judge",
            updates=3000,
            short_updates=600,
            decay_from=1500,
            copying_updates=300,
            tokens_per_update=1920,
            starts_from="tiny-student-0.15m",
            matrix_rate=0.005,
            rate=0.002,
            committed=False,
        ),
        Member(
            name="tiny-judge",
            hidden=64,
            layers=4,
            intermediate=160,
            style="judge",
            updates=1200,
            short_updates=0,
            decay_from=500,
            copying_updates=0,
            tokens_per_update=1920,
            starts_from="tiny-judge-letters",
            matrix_rate=0.005,
            rate=0.002,
            coarse=0.4,
            shares=dict.fromkeys(TASKS, 1.0) | dict.fromkeys(("dyck_languages", "word_sorting"), 4.0),
        ),
    )
}
