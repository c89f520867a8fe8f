"""The parts of an experiment, each a mapping in its YAML: models, sampling, filters, fine-tuning, judge, resources.

Every model here is frozen and forbids unknown keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from capgap_ray.catalog.accelerators import ACCELERATORS
from capgap_ray.catalog.judges import DEFAULT_JUDGE_PROMPT
from capgap_ray.core.axes import check_axis, refuse_duplicates
from capgap_ray.core.splitting import fold_sizes, part_sizes
from capgap_ray.mistakes import NAME, URL, VARIABLE

Name = Annotated[str, Field(pattern=NAME)]
"""Names that can stand in a file name: letters, digits, dot, dash and underscore."""


Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every generator of random numbers takes."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic takes true for 1."""
        if isinstance(value, bool):
            kinds = cls.model_fields[str(info.field_name)].annotation
            if {int, float} & {kinds, *get_args(kinds)}:
                raise ValueError(
                    "write a number, not " + ("true (or yes, or on)" if value else "false (or no, or off)")
                )
        return value


class ModelEntry(Part):
    """A model that is not in the catalogue: weights (`source`), or an OpenAI-compatible API (`endpoint`). Of one that
    is: its `revision` or `license` alone."""

    source: str | None = None
    """Local folder in Hugging Face layout, or Hub id."""
    revision: str | None = None
    """Hub commit. Of an endpoint: any name for the weights behind it; change it when they change."""
    parameters: int | None = Field(default=None, gt=0)
    endpoint: str | None = Field(default=None, pattern=URL)
    """Base URL, such as https://host/v1. Teachers and judges only; no part of any identity."""
    model: str | None = None
    """The model's name at the endpoint."""
    key_env: str | None = Field(default=None, pattern=VARIABLE)
    """Environment variable that holds the key; the key itself is never written anywhere. None: no key."""
    requests_per_minute: int | None = Field(default=None, gt=0)
    concurrency: int = Field(default=16, gt=0)
    """Requests in flight at once."""
    timeout_s: float = Field(default=600, gt=0)
    """Of one request."""
    retries: int = Field(default=6, ge=0)
    """Of one request on 408, 409, 429, 5xx and lost connections, with exponential back-off."""
    license: str | None = None
    """As the Hub writes it, such as `apache-2.0`; for model cards only, no part of any identity."""

    @model_validator(mode="after")
    def _one_kind(self) -> ModelEntry:
        if (self.source is None) == (self.endpoint is None) and not self.of_catalogue:
            raise ValueError("give either source (weights) or endpoint (URL of an OpenAI-compatible API)")
        if self.endpoint is None:
            own = ("model", "key_env", "requests_per_minute", "concurrency", "timeout_s", "retries")
            if odd := [name for name in own if name in self.model_fields_set]:
                raise ValueError(f"{odd[0]}: belongs to an endpoint; remove it or give endpoint in place of source")
        else:
            for name in ("model", "parameters"):
                if getattr(self, name) is None:
                    raise ValueError(
                        f"{name}: is missing; an endpoint does not tell it (for parameters a guess will do)"
                    )
        return self

    @property
    def of_catalogue(self) -> bool:
        """Whether it says no more than which revision of a model of the catalogue is meant, or its licence."""
        return bool(self.model_fields_set) and self.model_fields_set <= {"revision", "license"}


class Prompt(Part):
    """The evaluation prompt, the same for every model; lm-eval renders it."""

    shots: int | None = Field(default=None, ge=0)
    """Few-shot examples from the task's YAML. None: the task's own number (BBH 3, maths and GSM8K 0), since a number
    for all tasks would change what most of them measure."""
    version: Literal["v3", "v4"] = "v4"
    """Of the BBH prompts. v4 is lm-eval since July 2025; v3, which the ancestor repository's fork still has, writes
    "Let's think step by step." twice in each example. The paper does not say which it used."""
    chat: Literal["single_turn", "multi_turn", "plain"] = "single_turn"
    """How the prompt becomes a chat. `single_turn`: the description as system message, everything else as one user
    message; lm-eval's default with a chat template, and the ancestor's form. `multi_turn`: each example as a user and
    an assistant turn. `plain`: the bare text, no chat template; for base models."""


class Split(Part):
    """Items per task and part. Disjoint, seeded, equal questions never straddle, few-shot examples are in neither."""

    train: int | None = Field(default=None, gt=0)
    """Training items per task. None: all that the test part leaves."""
    test: int | None = Field(default=None, gt=0)
    """Test items per task. None: ceil(0.4 n) of n, the paper's 3:2 (with `train_from: train` all n)."""
    seed: Seed = 0
    train_from: Literal["test", "train"] = "test"
    """`test`: both parts are cut from the task's measured split, as the paper does with BBH. `train`: training items
    are the task's own training split (MATH 7,500, GSM8K 7,473), test items its measured one."""
    repeats: int = Field(default=1, ge=1)
    """Independent splits, with seeds `seed`, `seed + 1`, ...; see `Experiment.over_splits`."""
    crossfit: int | None = Field(default=None, ge=2)
    """Number of folds: every item is tested once and trains in all other folds. In place of `train` and `test`."""
    fold: int | None = Field(default=None, ge=0)
    """Which fold of `crossfit` this is, from 0."""

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        if self.crossfit is None:
            if self.fold is not None:
                raise ValueError("fold: belongs to crossfit; set split.crossfit too")
        elif self.train is not None or self.test is not None or self.train_from == "train" or self.repeats > 1:
            raise ValueError("crossfit: cuts every item into folds; remove split.train, test, train_from and repeats")
        elif self.fold is not None and self.fold >= self.crossfit:
            raise ValueError(f"fold: {self.fold} is not one of 0 to {self.crossfit - 1}")
        return self

    def singles(self) -> list[Split]:
        """The splits this stands for, each with one train and one test part."""
        if self.crossfit is not None and self.fold is None:
            return [self.model_copy(update={"fold": fold}) for fold in range(self.crossfit)]
        return [self.model_copy(update={"repeats": 1, "seed": self.seed + more}) for more in range(self.repeats)]

    def sizes(self, items: int | None, train_items: int | None) -> tuple[int, int]:
        """(train, test) of a single split of a task. `items`: in its measured split, None where it is not known;
        `train_items`: in its own training split. Raises ValueError if the numbers cannot be met or filled in."""
        if self.crossfit is not None and self.fold is not None and items is not None:
            test = fold_sizes(items, self.crossfit)[self.fold]
            return items - test, test
        if self.train is not None and self.test is not None and (items is None or self.train_from == "train"):
            return self.train, self.test
        if items is None or (self.train_from == "train" and train_items is None):
            raise ValueError("split: the number of items is not known before they are read; set split.train and test")
        if self.train_from == "train":
            return self.train or train_items or 0, self.test or items
        return part_sizes(items, self.train, self.test)


class TaskSelection(Part):
    """Keep a task if mean teacher minus mean student accuracy exceeds the gap, on training items only."""

    gap_points: float = Field(default=30.0, ge=-100, le=100)
    """30 is the paper's (section 3.1), which calls it practical and not theoretical."""
    items: int = Field(default=100, gt=0)
    """Training items measured per model and task."""


class Proxies(Part):
    """What is measured before any training, for the choice of a teacher (`core/surprisal.py`, `core/proxies.py`)."""

    traces: int | None = Field(default=None, ge=0)
    """Kept traces of each task and teacher that every untouched student reads, drawn by `seed`; 0 for none. None: 200
    where there are mixtures to choose among, else none: reported to be enough to choose a teacher (arXiv 2601.14249),
    and cheap, since nothing is generated."""
    seed: Seed = 0


TRACES = 200
"""Of `Proxies.traces` where it is None and there is a choice."""


StopString = Annotated[str, Field(min_length=1)]


class Sampling(Part):
    """How every model generates."""

    temperature: float = Field(default=0.0, ge=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(default=1024, gt=0)
    retry_truncated: int | None = Field(default=None, gt=0)
    """A larger token budget with which only those completions are repeated that `max_tokens` cut off."""
    stop: tuple[StopString, ...] = ("\n\nQ:",)
    """Stop strings beside the end token. A base model goes on with the next question; this ends it, and occurs in no
    answer. Not BBH's own list: its letter `Q` makes 7 items unanswerable, and its blank line cuts paragraphs; that
    one is used under `parity: lm-eval`."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _retries_with_more(self) -> Sampling:
        if self.retry_truncated is not None and self.retry_truncated <= self.max_tokens:
            raise ValueError(f"retry_truncated: {self.retry_truncated} is not more than max_tokens ({self.max_tokens})")
        return self


def check_budget(where: str, sampling: Mapping[str, Any], max_model_len: int) -> None:
    """Raises ValueError where an answer may take all of the engine's context. `where`: the field of `sampling`."""
    for name in ("max_tokens", "retry_truncated"):
        if (sampling[name] or 0) >= max_model_len:
            raise ValueError(
                f"{where}: {name} {sampling[name]} leaves no room for a prompt in engine.max_model_len "
                f"({max_model_len}); raise that, or lower {name}"
            )


class TeacherSampling(Part):
    """How a teacher generates rationales. None: as in `sampling`."""

    samples: int = Field(default=1, ge=1)
    """Rationales per training item; more than one needs a temperature above 0."""
    temperature: float | None = Field(default=None, ge=0.0)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    max_tokens: int | None = Field(default=None, gt=0)
    retry_truncated: int | None = Field(default=None, gt=0)
    stop: tuple[StopString, ...] | None = None

    def applied(self) -> dict[str, Any]:
        """What differs from `sampling`."""
        return {name: value for name, value in self.model_dump().items() if value is not None and name != "samples"}


class Rationales(TeacherSampling):
    """How the teachers generate rationales; without anything, once per item and as they are measured."""

    per_teacher: dict[Name, TeacherSampling] = {}
    """Role -> what differs for that teacher; all else is as here."""

    def of(self, role: str) -> TeacherSampling:
        """The settings of one teacher."""
        own = self.per_teacher.get(role)
        given = own.model_dump(exclude_unset=True) if own else {}
        return TeacherSampling(**(self.model_dump(exclude={"per_teacher"}) | given))


def _bare(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


LARGEST_SERVED_RANK = 512
"""Of an adapter that vLLM takes."""


class Engine(Part):
    """Settings of the inference engine that can move scores, hence part of every result's identity."""

    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    max_model_len: int = Field(default=4096, gt=0)
    lora: Literal["adapters", "merged"] = "adapters"
    """How checkpoints of `method: lora` are served. `adapters`: on the student's own weights, many in one batch.
    `merged`: as whole weights, rounded to 16 bits, one after the other; where vLLM does not serve the adapters."""

    def of_all(self) -> dict[str, Any]:
        """What moves the rows of every model; `lora` moves those of LoRA checkpoints only."""
        return self.model_dump(exclude={"lora"})


class Decontamination(Part):
    """Training items that hold a test item's words."""

    ngram: int = Field(default=13, ge=1)
    """Words in a row that count as a match; a shorter question counts whole."""
    overlap: float = Field(default=0.5, gt=0, le=1)
    """Share of a test question's n-grams from which on the training item is dropped. Templates are shared by all items
    of a task, so any single match would drop most of them."""


class Filter(Part):
    """Which rationales train. The default keeps each teacher's own correct ones."""

    keep: Literal["own", "intersection", "union", "majority", "finished"] = "own"
    """`own`: what the teacher itself got right. `intersection`: that, on items that every teacher solved; it costs data
    and hides differences (pitfall 2). `union`: that, and on items it did not solve another teacher's right rationale.
    `majority`: what agrees with most of the teacher's own samples of the item, right or wrong. `finished`: whatever
    was not cut off."""
    tokens: tuple[int, int] | None = None
    """Shortest and longest rationale, in tokens as its teacher counted them."""
    pass_rate: tuple[float, float] | None = None
    """Lowest and highest share of the teacher's samples of an item that are right: its difficulty."""
    samples: int | None = Field(default=None, ge=1)
    """At most so many rationales of one item, drawn by `seed`; smaller draws are within larger ones."""
    duplicates: Literal["keep", "exact", "near"] = "keep"
    """Drop what repeats an earlier rationale to the same question: `exact` but for case and space, `near` at a Jaccard
    similarity of at least `near` of its 5-word shingles."""
    near: float = Field(default=0.8, gt=0, le=1)
    decontaminate: Decontamination | None = None
    size: int | Literal["smallest", "intersection"] | None = None
    """Rationales per teacher and task, drawn by `seed`: a number; as many as the teacher with fewest keeps; or as many
    as are right on items that every teacher solved."""
    seed: Seed = 0

    @field_validator("size", mode="before")
    @classmethod
    def _number_or_word(cls, value: Any) -> Any:
        if value is None or (isinstance(value, int) and value > 0) or value in ("smallest", "intersection"):
            return value
        raise ValueError(f"write a number above 0, smallest or intersection, not {value!r}")

    @model_validator(mode="after")
    def _in_order(self) -> Filter:
        for name in ("tokens", "pass_rate"):
            bounds = getattr(self, name)
            if bounds is not None and not 0 <= bounds[0] <= bounds[1]:
                raise ValueError(f"{name}: write [lowest, highest], not {list(bounds)}")
        if self.pass_rate is not None and self.pass_rate[1] > 1:
            raise ValueError(f"pass_rate: write shares of 0 to 1, not {list(self.pass_rate)}")
        return self

    @property
    def all_teachers(self) -> bool:
        """Whether what one teacher keeps depends on the others."""
        return self.keep in ("intersection", "union") or isinstance(self.size, str)


class Mixing(Part):
    """How shares are counted."""

    by: Literal["rows", "tokens"] = "rows"
    """`tokens`: of the rationales, as their teachers counted them."""
    total: int | None = Field(default=None, gt=0)
    """Rows, or tokens, of every mixture. None: the most that its shares allow."""


class Batch(Part):
    """Also written `5x4`: per-device batch size x gradient accumulation steps."""

    per_device: int = Field(gt=0)
    accumulation: int = Field(gt=0)

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if isinstance(value, str):
            match = re.fullmatch(r"\s*(\d+)\s*[x×]\s*(\d+)\s*", value)
            if not match:
                raise ValueError(f"{value!r} is not <per-device batch>x<accumulation>, such as 5x4")
            return {"per_device": int(match[1]), "accumulation": int(match[2])}
        if not isinstance(value, Mapping):
            raise ValueError(f"{value!r} is not <per-device batch>x<accumulation>, such as 5x4")
        return value

    def __str__(self) -> str:
        return f"{self.per_device}x{self.accumulation}"


class Lora(Part):
    """Low-rank adapters on every linear layer but the output layer; LLaMA-Factory's defaults."""

    rank: int = Field(default=8, gt=0)
    alpha: float = Field(default=16, gt=0)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)


class Validation(Part):
    """Rows held out of training, whose loss is measured on the way."""

    share: float = Field(gt=0.0, lt=1.0)
    """Of the rows (of the packs, with packing); rounded up."""
    every: int = Field(gt=0)
    """Updates between two measurements; the last update is always measured."""


class Checkpoints(Part):
    """Exports beside the final one, at chosen updates: every k, or a list."""

    every: int | None = Field(default=None, gt=0)
    at: tuple[Annotated[int, Field(gt=0)], ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> Checkpoints:
        if (self.every is None) == (not self.at):
            raise ValueError("give either every (a number) or at (a list of updates)")
        return self

    def wanted(self, update: int) -> bool:
        """Whether an export is made after the 1-based update."""
        return update in self.at if self.every is None else update % self.every == 0


SFT_PRESETS: dict[str, dict[str, Any]] = {
    # The paper's Table 1: students up to 7B, on four GPUs.
    "table1": {
        "learning_rate": 1e-5,
        "epochs": 2,
        "batch": "2x1",
        "workers": 4,
        "cutoff_tokens": 8192,
        "gradient_checkpointing": True,
    },
    # The paper's Table 2: 14B and 32B students with LoRA.
    "table2": {
        "method": "lora",
        "learning_rate": 1e-4,
        "warmup_ratio": 0.03,
        "epochs": 2,
        "batch": "1x1",
        "workers": 4,
        "cutoff_tokens": 8192,
        "gradient_checkpointing": True,
    },
    # What the ancestor's MATH_mix.yaml really did, beside single-teacher arms with table1: ten times larger updates,
    # packs of 4,096 tokens, another cut-off.
    "ancestor_mix": {
        "learning_rate": 1e-5,
        "epochs": 2,
        "batch": "5x4",
        "workers": 4,
        "cutoff_tokens": 4096,
        "packing": "neat",
        "loss": "reference",
        "system": "ancestor",
        "loss_on_final_newline": True,
        "gradient_checkpointing": True,
    },
}


class Sft(Part):
    """Supervised fine-tuning of one student on one mixture.

    `sft: table1` takes a preset whole, `sft: {preset: table1, epochs: 3}` with changes; see `SFT_PRESETS`.
    """

    method: Literal["full", "lora"] = "full"
    lora: Lora = Lora()
    """Used with `method: lora`. The adapter is stored beside merged weights; `engine.lora` says which are evaluated."""
    learning_rate: float = Field(default=1e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = Field(default=0.0, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=0.0, ge=0.0)
    clip: float = Field(default=1.0, gt=0)
    """Gradient norm above which gradients are scaled down."""
    epochs: int = Field(default=2, gt=0)
    batch: Batch = Batch(per_device=2, accumulation=1)
    workers: int = Field(default=1, gt=0)
    """Data-parallel workers; samples per update = batch x accumulation x workers."""
    cutoff_tokens: int = Field(default=8192, gt=0)
    overlength: Literal["drop", "raise", "cut"] = "drop"
    packing: Literal["none", "neat", "joined"] = "none"
    """What one place of a batch holds. `none`: one example. `neat`: examples up to the cut-off, attention inside each,
    positions running on, as LLaMA-Factory's neat_packing, which the ancestor's mix arm used. `joined`: the same with
    attention across examples. Nothing is ever padded, so `none` costs no padding either."""
    system: Literal["evaluation", "ancestor"] = "evaluation"
    """System message of training: the one that the task has in evaluation, or always LLaMA-Factory's, as the
    ancestor's was, whatever evaluation says."""
    loss_on_final_newline: bool = False
    """Whether the line end that the chat template writes after the end token carries loss, as in the ancestor."""
    loss: Literal["tokens", "reference"] = "tokens"
    """`tokens`: mean over all supervised tokens of the update, on whatever worker and micro-step. `reference`: mean
    over those of one worker, then over workers, as the ancestor's trainer (transformers 4.46) did."""
    gradient_checkpointing: bool = False
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    """Of the weights that compute; masters and AdamW's moments are fp32 either way."""
    validation: Validation | None = None
    checkpoints: Checkpoints | None = None
    seed: Seed = 42

    def method_name(self) -> str:
        """The method with all that makes it another one."""
        if self.method == "full":
            return "full"
        return f"lora, rank {self.lora.rank}, alpha {self.lora.alpha:g}, dropout {self.lora.dropout:g}"

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"preset": value}
        if isinstance(value, Mapping) and "preset" in value:
            name = value["preset"]
            if not isinstance(name, str) or name not in SFT_PRESETS:
                raise ValueError(f"preset: {name!r} is unknown; known: {', '.join(SFT_PRESETS)}")
            return {**SFT_PRESETS[name], **{key: each for key, each in value.items() if key != "preset"}}
        return value


class Judge(Part):
    """The language model that decides on answers which the rules reject."""

    model: Name
    prompt: str = DEFAULT_JUDGE_PROMPT
    when: Literal["rejected", "unparsable"] = "rejected"
    """`rejected`: every answer that the rules call wrong or cannot read. `unparsable`: only those they cannot read,
    for tasks whose answers have one form, where a judge could only add its own errors."""
    audit: int = Field(default=50, ge=0)
    """Probes of each kind, with verdicts known beforehand, that the judge answers too; 0: its errors stay unknown."""


Match = Literal["updates", "tokens", "examples", "epochs"]
PublishedName = Literal["short", "long", "small", "large", "mix-long", "mix-large"]


class DeclaredComparison(Part):
    """Two arms of every student to be set side by side, right minus left.

    An arm is written as axis -> value, as many axes as it takes to tell one cell per student from the others; cells
    that differ in axes which neither arm names are compared one by one. `batch` is short for `sft.batch`.
    """

    name: str = Field(min_length=1)
    left: dict[str, Any]
    right: dict[str, Any]
    treatment: tuple[str, ...] = Field(default=("mixture",), min_length=1)
    """Axes in which the arms are meant to differ. Any other difference is a confound, and no verdict rests on it."""
    match: tuple[Match, ...] = ()
    """Control arms to add and to compare with the right arm: its own recipe with the left arm's treatment, and

    - `epochs`: as many epochs, whatever updates follow from the rows (for mixtures of batch 5x4: the single
      teacher's data at the mixture's batch, the "10 BS" curves of the paper's appendix B);
    - `updates`: exactly as many optimizer updates;
    - `tokens`: as many supervised tokens, to the nearest update;
    - `examples`: the number of training rows that both can give, for the control and the right arm alike.
    """

    @field_validator("left", "right", mode="before")
    @classmethod
    def _by_axis(cls, arm: Any) -> Any:
        if not isinstance(arm, Mapping) or not arm:
            raise ValueError("name the arm's cell by its axes, such as {mixture: large, batch: 2x1}")
        named = {"sft.batch" if axis == "batch" else str(axis): value for axis, value in arm.items()}
        return teacher_as_mixture(_comparable(named, "arm"))

    @field_validator("match", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("treatment")
    @classmethod
    def _axes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(teacher_as_mixture(_comparable(dict.fromkeys(value), "treatment")))


def _comparable(axes: dict[str, Any], where: str) -> dict[str, Any]:
    for axis in axes:
        check_axis(axis, where)
        if axis == "split.seed":
            raise ValueError(f"{where}: cells of different splits have other items and are never compared")
    return axes


class Parallel(Part):
    """How one engine of a large model is spread over GPUs, in vLLM's terms."""

    tensor: int = Field(default=1, gt=0)
    """GPUs that share each layer; must divide the model's attention heads. Without `pipeline`, within one node."""
    pipeline: int = Field(default=1, gt=0)
    """Stages of layers, each of `tensor` GPUs; for models that no node holds. Their copies of the model must
    lie at one path."""

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline


class Size(Part):
    """Of a whole cluster."""

    cpus: float = Field(gt=0)
    gpus: float = Field(default=0, ge=0)


class Resources(Part):
    """Where things run. Never part of any identity: other machines, same results."""

    engines: int = Field(default=1, gt=0)
    """Engine replicas, at most."""
    min_engines: int | None = Field(default=None, gt=0)
    """Replicas that stand also when idle; more, up to `engines`, start while work waits for one and the cluster has
    room or gets it, and go after a minute without work. None: all stand."""
    engine_cpus: float = Field(default=1, gt=0)
    engine_gpus: float = Field(default=0, ge=0)
    """Of one replica; a model is spread over all of them. For models that need more than others, see `parallel`."""
    engine_memory_share: float | None = Field(default=None, gt=0, le=1)
    """Of each GPU's memory that an engine may take: less where others use the GPU too. None: vLLM's own default."""
    parallel: dict[str, Parallel] = {}
    """Model -> its engine's GPUs in place of `engine_gpus`. Its engines are its own, up to `engines` of them: they
    start when it is asked, and idle ones of other models make room."""
    engine_timeout_s: float = Field(default=1800, gt=0)
    """An engine that has generated nothing for so long, loading included, has stopped answering: the run ends. Fetching
    its model may take longer, as long as bytes arrive."""
    worker_cpus: float = Field(default=1, gt=0)
    worker_gpus: float = Field(default=0, ge=0)
    """1, or 0 for training on CPUs."""
    accelerator: str | None = None
    """Name of the GPU in `catalog/accelerators.py`, for the plan: memory, hours. None: a CPU, or not known."""
    grows_to: Size | None = None
    """What an autoscaling cluster has when all nodes that may come are up: Ray's own autoscaler does not tell. Whether
    engines stand beside trainings, as searches need it, is decided by it; None: by the nodes that are up then. Nothing
    is refused for want of nodes that do not come: what waits for them waits."""
    trials: int = Field(default=1, gt=0)
    """Training trials at once."""
    min_workers: int | None = Field(default=None, gt=0)
    """Train with as few workers where `sft.workers` cannot be had, with the same updates. None: wait for all."""
    save_every: int = Field(default=200, gt=0)
    """Updates between two saves of the training state, from which an interrupted training goes on."""
    trackers: tuple[Literal["mlflow", "wandb"], ...] = ()
    """Where every training's losses go beside TensorBoard; see `stages/trackers.py` for how each finds its server."""

    @model_validator(mode="after")
    def _least_and_most(self) -> Resources:
        if self.min_engines is not None and self.min_engines > self.engines:
            raise ValueError(f"min_engines: {self.min_engines} is more than engines ({self.engines})")
        refuse_duplicates("trackers", self.trackers)
        return self

    @field_validator("engine_gpus", "worker_gpus")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value != int(value):
            raise ValueError(f"{value:g} is no whole number; engines and training workers take a GPU's memory whole")
        return value

    @field_validator("worker_gpus")
    @classmethod
    def _one(cls, value: float) -> float:
        if value > 1:
            raise ValueError(f"{value:g}: a training worker computes on one GPU; write 1, and raise sft.workers")
        return value

    @property
    def kept_engines(self) -> int:
        """Replicas that stand also when idle."""
        return self.min_engines or self.engines

    def least_workers(self, workers: int) -> int:
        """Training workers without which a training of `workers` does not go on."""
        return self.min_workers or workers

    def engine_gpus_of(self, model: str) -> float:
        """GPUs of one engine of the model."""
        return self.parallel[model].gpus if model in self.parallel else self.engine_gpus

    @field_validator("accelerator")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in ACCELERATORS:
            # Not the nearest name: `H100` is nearer to H200 than to H100-80GB.
            like = [name for name in ACCELERATORS if _bare(name).startswith(_bare(value))]
            raise ValueError(f"{value!r} is unknown; known: {', '.join(like or ACCELERATORS)}")
        return value


class EarlyStop(Part):
    """Give up cells that are surely worse than the untouched student on development items. They are no results."""

    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Chance that a cell is given up though it is nowhere worse than the margin; it holds at every look."""
    margin_points: float = Field(default=0.0, ge=0)
    """How much worse than the untouched student is worth going on with."""
    after: float = Field(default=0.5, ge=0, lt=1)
    """Share of a cell's updates before which it is not judged: accuracy may fall before it rises."""


class Development(Part):
    """Items cut off each task's training part: the same for all cells, trained on by none, no part of any result."""

    items: int = Field(gt=0)
    """Per task."""
    early_stop: EarlyStop | None = None
    """Looks at the exports of `sft.checkpoints`."""


class Search(Part):
    """Train some of the grid's cells, chosen by their accuracy on development items, and report the best.

    The grid's product or points are what is chosen from; each student and mixture has a search of its own.
    """

    searcher: Literal["optuna", "random"] = "optuna"
    """Who proposes the next cell: Optuna's TPE sampler, or chance."""
    scheduler: Literal["asha", "none"] = "none"
    """`asha`: asynchronous successive halving gives up the worse part of the cells at each rung. It looks at the
    exports of `sft.checkpoints`."""
    trials: int = Field(gt=0)
    """Cells that are tried, of each student and mixture."""
    keep: int = Field(default=1, gt=0)
    """Best cells of each student and mixture that go on to the test items."""
    seed: Seed = 0
    grace: float = Field(default=0.25, gt=0, le=1)
    """Of `asha`: share of a cell's updates at its first rung."""
    reduction: float = Field(default=2, gt=1)
    """Of `asha`: from one rung to the next so many times the updates, and one in so many cells."""

    @model_validator(mode="after")
    def _keeps_some(self) -> Search:
        if self.keep > self.trials:
            raise ValueError(f"keep: {self.keep} is more than trials ({self.trials})")
        return self


class Budget(Part):
    """What a run may use up. It then stops at the next whole piece of work and says what was skipped."""

    gpu_hours: float = Field(gt=0)
    """Hours of accelerators held, by training workers and by engines, all of `resources.engines` as long as any stands;
    of CPUs where the experiment uses no GPU."""


def teacher_as_mixture(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The axis `teacher` under the name of what it is: a mixture of that teacher alone."""
    if "teacher" in cell and "mixture" in cell:
        raise ValueError("axes: teacher is a mixture of that teacher alone; name teacher or mixture, not both")
    return {"mixture" if axis == "teacher" else axis: value for axis, value in cell.items()}
