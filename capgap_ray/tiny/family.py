"""The tiny family as data: shapes, reasoning style, and how long each member was trained."""

from dataclasses import dataclass, field

from capgap_ray.tiny.procedural import TASKS

HEAD_DIM = 32
"""vLLM's CPU attention takes 32, 64, 80, 96 or 128."""
MAX_POSITIONS = 2048


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
    """Updates on chats without worked examples, which come first: copying is learnt faster with less to read."""
    decay_from: int
    """Update at which the learning rates begin their linear fall to zero."""
    copying_updates: int = 150
    """Updates, from the first, on chats about copying only.

    Without that skill the tasks' losses stay on a plateau.
    """
    starts_from: str | None = None
    """Member, earlier in the list, whose final weights are the initial ones; None: random weights."""
    tokens_per_update: int = 4096
    """Tokens of one batch at the least, padding not counted."""
    matrix_rate: float = 0.01
    """Peak learning rate of Muon (matrices), scaled to AdamW's step size."""
    rate: float = 0.003
    """Peak learning rate of AdamW (embeddings, norms, biases)."""
    seed: int = 1
    stream: str | None = None
    """Name that seeds the batches, beside `seed` and the update's number; None: the member's own."""
    committed: bool = True
    """False: only a stage on the way to others, not exported to `models/`."""
    shares: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TASKS, 1.0))
    """Weight of each task in the training stream."""


FAMILY = {
    member.name: member
    for member in (
        Member(
            name="tiny-trunk",
            hidden=128,
            layers=5,
            intermediate=256,
            style="short",
            updates=1300,
            short_updates=1000,
            decay_from=900,
            stream="tiny-teacher-small",
            committed=False,
        ),
        Member(
            name="tiny-teacher-small",
            hidden=128,
            layers=5,
            intermediate=256,
            style="short",
            updates=200,
            short_updates=100,
            decay_from=50,
            copying_updates=0,
            starts_from="tiny-trunk",
            matrix_rate=0.003,
            rate=0.001,
        ),
        Member(
            name="tiny-teacher-large-draft",
            hidden=128,
            layers=8,
            intermediate=256,
            style="short",
            updates=1500,
            short_updates=1000,
            decay_from=600,
            copying_updates=0,
            starts_from="tiny-trunk",
            matrix_rate=0.003,
            rate=0.001,
            stream="tiny-teacher-large",
            committed=False,
        ),
        Member(
            name="tiny-teacher-large",
            hidden=128,
            layers=8,
            intermediate=256,
            style="short",
            updates=1600,
            short_updates=0,
            decay_from=1200,
            copying_updates=0,
            starts_from="tiny-teacher-large-draft",
            matrix_rate=0.006,
            rate=0.002,
            shares={
                "tracking_shuffled_objects_three_objects": 2.5,
                "dyck_languages": 2.0,
                "word_sorting": 1.5,
                "temporal_sequences": 1.5,
                "logical_deduction_three_objects": 0.7,
                "boolean_expressions": 0.5,
            },
        ),
        Member(
            name="tiny-teacher-long",
            hidden=128,
            layers=5,
            intermediate=256,
            style="long",
            updates=700,
            short_updates=450,
            decay_from=200,
            copying_updates=0,
            starts_from="tiny-trunk",
            matrix_rate=0.005,
            rate=0.0015,
        ),
        Member(
            name="tiny-student-0.15m",
            hidden=64,
            layers=2,
            intermediate=160,
            style="short",
            updates=520,
            short_updates=360,
            decay_from=360,
        ),
        Member(
            name="tiny-student-0.5m",
            hidden=128,
            layers=2,
            intermediate=256,
            style="short",
            updates=700,
            short_updates=450,
            decay_from=450,
        ),
        Member(
            name="tiny-judge-draft",
            hidden=128,
            layers=5,
            intermediate=256,
            style="judge",
            updates=700,
            short_updates=0,
            decay_from=350,
            copying_updates=0,
            tokens_per_update=3072,
            starts_from="tiny-trunk",
            matrix_rate=0.005,
            rate=0.0015,
            shares=dict.fromkeys(TASKS, 1.0) | dict.fromkeys(("dyck_languages", "word_sorting"), 4.0),
            stream="tiny-judge",
            committed=False,
        ),
        Member(
            name="tiny-judge",
            hidden=128,
            layers=5,
            intermediate=256,
            style="judge",
            updates=560,
            short_updates=0,
            decay_from=200,
            copying_updates=0,
            tokens_per_update=3072,
            starts_from="tiny-judge-draft",
            matrix_rate=0.006,
            rate=0.002,
            shares=dict.fromkeys(TASKS, 1.0) | dict.fromkeys(("dyck_languages", "word_sorting"), 4.0),
        ),
    )
}
