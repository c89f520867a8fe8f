"""The records that flow between stages. Standard library only.

Every record is frozen, slotted and keyword-only; `rows.py` takes it to and from plain dictionaries. `None` always
means "not known", never 0.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length"]
"""`stop`: the model ended by itself or by a stop string. `length`: it was cut at the token limit."""

Role = Literal["system", "user", "assistant"]
Outcome = Literal["right", "wrong", "unparsable", "truncated"]
"""Four different things everywhere: an unfinished answer is not a wrong one, nor is an unreadable one."""
QuarantineReason = Literal[
    "overlong", "no prompt", "template", "malformed", "engine error", "empty", "refused", "unavailable", "bad answer"
]
"""Why a row has no completion. `overlong`: prompt and token budget exceed the context. `no prompt`: nothing to send.
`template`: the chat template or the tokenizer refuses the messages. `malformed`: the request itself cannot be read.
`engine error`: the engine refused it, or died of it. `empty`: a rationale without text. `refused`, `unavailable`,
`bad answer`: an endpoint would not answer, did not after all retries, or answered what is no completion."""
ProbeKind = Literal["gold", "paraphrased", "rule-right", "corrupted", "swapped", "injection", "empty"]
"""`gold`: the gold itself. `paraphrased`: the gold in other dress. `rule-right`: a model's answer that the rules
accept. `corrupted`: a near miss. `swapped`: another item's gold. `injection`: a wrong answer that addresses the
judge. `empty`: nothing."""


def content_id(*parts: str) -> str:
    """Return a 16-hex-digit id of the texts; equal texts in equal order give equal ids on every machine."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One item of a task."""

    id: str
    """`content_id(task, question, target)`."""
    task: str
    split: Literal["train", "test"]
    question: str
    """The item's text without instruction, shots or chat template."""
    target: str
    """The gold answer as the task gives it, e.g. `(B)`."""
    choices: tuple[str, ...] = ()
    """Option texts in the order of their letters; empty where the task has none."""
    train_messages: tuple[Message, ...] = ()
    """The prompt without shots: the input side of supervised fine-tuning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt for an engine. In evaluation it is the few-shot chat prompt, the same for every model."""

    example_id: str
    task: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What an engine returned for one request."""

    example_id: str
    task: str
    model: str
    """A model's name, or a checkpoint's address."""
    sample: int
    """0-based index among the k samples of one prompt."""
    seed: int | None
    """Of this sample; None for greedy decoding."""
    text: str
    finish_reason: FinishReason
    stop_reason: str | None
    """The stop string that ended it; None for the end token and for a text that was cut."""
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A row that has no completion: neither right nor wrong, and unscored in everything that follows."""

    example_id: str
    task: str
    model: str
    sample: int
    reason: QuarantineReason
    detail: str
    """In words, with the numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rationale:
    """A teacher's chain of thought for one training item, with its answer checked."""

    example_id: str
    task: str
    teacher: str
    sample: int
    text: str
    answer: str | None
    """The extracted final answer; None where none was found."""
    outcome: Outcome
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterReport:
    """What the filter did to one teacher's rationales of one task: seen = kept + all drops."""

    teacher: str
    task: str
    seen: int
    kept: int
    dropped: dict[str, int]
    """Reason -> rationales; only reasons that occur. `wrong`, `unparsable` and `truncated` by the rules' outcome,
    `other teacher` where only another teacher's failure drops it, `test item` where another task tests the same
    problem, the others by the experiment's filter."""
    borrowed: int = 0
    """Of seen: other teachers' rationales, which the cross-teacher union takes in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContaminationMatch:
    """A training item whose text holds a test question's words."""

    train_id: str
    train_task: str
    test_id: str
    test_task: str
    overlap: float
    """Share of the test question's n-grams that stand in the training text."""
    dropped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """A number with its uncertainty."""

    value: float
    error: float | None
    """Standard error; 0 where the number is exact, None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceReading:
    """One trace under an untouched student; `core/surprisal.py` defines the numbers."""

    example_id: str
    task: str
    teacher: str
    tokens: int
    """Of the completion, as the student counts them."""
    supervised: int
    """Tokens that carry loss in training: the completion's and the end of turn."""
    loss: float
    """Mean surprisal of the supervised tokens, in nats."""
    surprisal: float
    """Mean surprisal of the completion's tokens, in nats."""
    rank: float
    """Mean rank of the completion's tokens, from 1, cut at `surprisal.RANK_CLIP`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """A teacher's traces of one task under one untouched student; `core/surprisal.py` defines the numbers."""

    kept: int
    """Traces that the filter kept."""
    drawn: int
    """Of them, to be read."""
    read: int
    """Of those drawn: the others are longer than the cut-off or the context, or could not be rendered."""
    loss: Estimated | None
    """None, as all below, where no trace was read."""
    surprisal: Estimated | None
    rank: Estimated | None
    ratio: Estimated | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingExample:
    """One supervised example: the model is trained on `completion`, given `messages`."""

    example_id: str
    task: str
    teacher: str
    messages: tuple[Message, ...]
    completion: str
    tokens: int | None = None
    """Of the completion, as the model that wrote it counted them."""
    written_by: str | None = None
    """Another teacher's role, where the cross-teacher union put its rationale into this teacher's pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureReport:
    """The exact composition of a training mixture."""

    mixture: str
    shares: dict[str, float]
    """Share per teacher as asked for; sums to one."""
    rows_by_teacher: dict[str, int]
    rows_by_task: dict[str, int]
    kept_by_teacher: dict[str, int]
    """Rows that survived the filter, before mixing: the data yield."""
    rows: int
    seed: int
    tokens_by_teacher: dict[str, int] | None = None
    """Of the rationales, as their teachers counted them."""
    borrowed_by_teacher: dict[str, int] | None = None
    """Of rows_by_teacher: those that another teacher wrote (cross-teacher union)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeCard:
    """Everything in which two training arms can differ beside the declared treatment."""

    student: str
    mixture: str
    method: str
    """`full`, or `lora` with rank, alpha and dropout."""
    rows: int
    epochs: float
    workers: int
    per_device_batch_size: int
    gradient_accumulation_steps: int
    updates: int
    """Optimizer updates in all."""
    samples_per_update: int
    """per-device batch x accumulation x workers; with packing the rows that these packs hold, on average."""
    supervised_tokens: int
    """Tokens that carry loss, over all epochs."""
    supervised_tokens_per_update: float
    learning_rate: float
    lr_integral: float
    """Sum of the learning rate over all updates."""
    schedule: str
    warmup_updates: int
    packing: bool
    overlength: str
    cutoff_tokens: int
    rows_dropped: int
    rows_cut: int
    template_hash: str
    """Of the chat template that rendered the training text, with end token, system form and final newline."""
    prompt_hash: str
    """Of the prompt settings (shots, chat form, system message) of evaluation."""
    token_budget: int
    """Maximum new tokens in evaluation."""
    engine: str
    """Fingerprint of the engine that evaluates."""
    seed: int
    filter: str | None = None
    """Which rationales trained, where it is not each teacher's own correct ones."""
    judge: str | None = None
    rendering: str | None = None
    """Of the training text beside the chat template: which system message, whether the final newline carries loss."""
    attention: str = "example"
    """`example`: inside each example. `pack`: across all examples of a pack."""
    loss: str = "tokens"
    """`tokens`: mean over the update's supervised tokens. `reference`: over each worker's, then over workers."""
    weight_decay: float = 0.0
    clip: float = 1.0
    """Gradient norm above which gradients are scaled down."""
    precision: str = "bfloat16"
    """Of the weights that compute."""
    rows_held_out: int = 0
    """For validation; not among `rows`."""
    chat_template: str = "own"
    """Its name; `own`: the tokenizer's. What it says is in `template_hash`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One prediction, scored. A value of None is unscored: never 0 and never NaN."""

    example_id: str
    task: str
    model: str
    target: str
    text: str
    answer: str | None
    """Flexible extraction from the text; None where none was found."""
    finish_reason: FinishReason
    completion_tokens: int
    outcome: Outcome
    """By the rules."""
    strict: float
    """lm-eval's own filter and metric for the task, 0 or 1."""
    flexible: float
    """Our extraction and equivalence, 0 or 1."""
    judged: float | None
    """Flexible, with what the rules rejected decided by the judge; None where its verdict was unreadable."""
    judge_verdict: str | None
    """The judge's raw reply; None where it was not asked."""
    sample: int = 0
    """0-based index among the k samples of one item."""
    stop_reason: str | None = None
    """The stop string that ended the text; None for the end token and for a text that was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confound:
    """One difference between two arms beyond the declared treatment."""

    field: str
    left: str
    right: str
    note: str
    """In words, with the size: `10x fewer updates`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Right minus left, paired by item."""

    name: str
    kind: Literal["gain", "teacher", "declared"]
    """`gain`: a distilled student against its own baseline. `teacher`: two mixtures, all else equal.
    `declared`: named in the experiment."""
    task: str
    """A task's name, or `all` for the pooled comparison."""
    student: str
    left: str
    right: str
    n: int
    """Items that both sides have scores for."""
    unscored: int
    """Items left out because a side has no score."""
    left_acc: float | None
    """None where n is 0: nothing is averaged over nothing."""
    right_acc: float | None
    delta: float | None
    ci_low: float | None
    ci_high: float | None
    """95 % interval of delta, in shares (0.05 = 5 points)."""
    p: float | None
    p_adjusted: float | None
    """Holm over the family of comparisons of this kind."""
    test: str
    mde: float | None
    """The smallest true difference that n paired items find with 80 % power at the 5 % level."""
    confounds: tuple[Confound, ...]
    level: float | None = None
    """`p` at or below it is significant after the correction, given the other p values of the family."""
    mde_adjusted: float | None = None
    """As `mde`, at the share of the error rate that this comparison has before any other claim is shown: a true
    difference of this size would be claimed with 80 % power or somewhat more."""
    runs: int = 1
    """Training runs (seeds) with a score, of the distilled arm that has the fewest. 1: other seeds are not covered by
    the interval, unless other arms have several."""
    bound_low: float | None = None
    """delta if every unscored item went against the right side; with `bound_high`, all that could hide in them."""
    bound_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer for one student, on one task or pooled."""

    task: str
    student: str
    helps: Literal["improved", "harmed", "undetermined"]
    """The best mixture against the untouched student."""
    best_mixture: str | None
    teacher_to_use: str | None
    """The one ahead of the others, if it is shown to help; None otherwise, and `reasons` says why."""
    data_ratio: float | None
    """Rows kept of the larger teacher over rows kept of the smaller one; None where not both exist."""
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Whether a task passes the in-context gap rule, measured on training items only (paper, section 3.1)."""

    task: str
    n: int
    """Training items measured, the same for every model."""
    teacher_acc: float
    """Mean over all teachers."""
    student_acc: float
    """Mean over all untouched students."""
    gap_points: float
    """100 x (teacher_acc - student_acc)."""
    threshold_points: float
    selected: bool
    ci_low: float | None = None
    """95 % interval of the gap over items, in points; None where the scores of single items are not known."""
    ci_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over items."""

    value: float
    """In shares."""
    standard_error: float | None
    """Of the mean over items (clustered by item); None for one item."""
    items: int
    """Items in the mean."""
    unscored: int
    """Items left out because they have no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KSamples:
    """Metrics of k samples per item (`core/passk.py` defines them). None: no item has a score."""

    samples: int
    """k, the same for every item."""
    avg: Estimate | None
    passes: dict[str, Estimate]
    """k' -> unbiased pass@k', for every k' that some item has enough scored samples for."""
    maj: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeProbe:
    """An answer whose verdict is known before the judge is asked."""

    id: str
    """`content_id` of all that follows."""
    task: str
    kind: ProbeKind
    question: str
    gold: str
    answer: str

    @property
    def same(self) -> bool:
        """Whether the answer means the gold."""
        return self.kind in ("gold", "paraphrased", "rule-right")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeErrors:
    """How often the judge was wrong on some probes. Unreadable verdicts are neither right nor wrong."""

    kind: str
    """A `ProbeKind`; or `false accept`, `false reject`: the kinds that the correction rests on, together."""
    n: int
    """Probes with a readable verdict."""
    errors: int
    unparsable: int
    """Probes with an unreadable verdict, beside n."""
    rate: float | None
    """errors / n; None where n is 0, as are the bounds."""
    low: float | None
    """95 % Clopper-Pearson interval, in shares."""
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedAccuracy:
    """One arm's judged accuracy, and what it is when the judge's errors are taken out."""

    task: str
    arm: str
    n: int
    """Items with a readable verdict or none needed."""
    accepted_by_rules: int
    asked: int
    """Of n, those that the judge decided."""
    judged: float
    """As judged, share of n."""
    corrected: float | None
    """Rogan-Gladen, within [0, 1]; None where it is not identifiable, as are the bounds."""
    low: float | None
    """95 % interval over items and over the probes that both error rates were measured on."""
    high: float | None
    note: str
    """Why it is not identifiable, or that the estimate was clipped; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """An answer on which rules and judge differ."""

    task: str
    arm: str
    example_id: str
    target: str
    answer: str
    rules: Outcome
    judge: Literal["yes", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAudit:
    """What is known of the judge's errors, and what follows for the accuracies that it decided."""

    judge: str
    prompt: str
    """Name of the judge prompt."""
    seed: int
    errors: tuple[JudgeErrors, ...]
    corrected: tuple[CorrectedAccuracy, ...]
    disagreements: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """One model's scores on one task, aggregated. n = right + wrong + unparsable + truncated.

    With k samples per item, n counts samples. `flexible` = parsed x correct-when-parsed =
    (right + wrong) / n x right / (right + wrong).
    """

    task: str
    part: Literal["train", "test"]
    role: Literal["teacher", "baseline", "distilled"]
    arm: str
    """Label of the model, e.g. `tiny-teacher-large` or `tiny-student-0.5m / mix / 5x4`."""
    student: str | None
    mixture: str | None
    batch: str | None
    """`<per-device batch>x<accumulation>`; None for untouched models."""
    parameters: int
    n: int
    right: int
    wrong: int
    unparsable: int
    truncated: int
    unjudged: int
    """Items whose judge verdict was unreadable; left out of `judged`."""
    strict: float
    """Shares of n, as are the next two."""
    flexible: float
    judged: float | None
    """Share of n - unjudged; None if that is 0."""
    standard_error: float | None
    """Of `flexible`, in shares: binomial, or clustered by item where items have several samples (None: one item)."""
    mean_tokens: float
    """Mean length of the output in tokens: the serving cost."""
    stop_hits: dict[str, int]
    """Stop string -> outputs that it ended. The rest ended by the end token or were cut (`truncated`)."""
    chance: float | None
    """Expected accuracy of guessing, in shares; None for free text."""
    at_k: KSamples | None
    """Of the judged scores (of the flexible ones where nothing is judged); None with one sample per item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GainParts:
    """Where a gain comes from: accuracy = share of answers read x share right among those.

    `format` + `truncation` + `reasoning` = gain, in shares; each change is weighted with the mean over before and
    after of the other factor. Rates are by the rules. None: no answer was read on one side.
    """

    unparsable_before: float
    unparsable_after: float
    truncated_before: float
    truncated_after: float
    right_when_read_before: float | None
    right_when_read_after: float | None
    format: float
    """By fewer answers that cannot be read."""
    truncation: float
    """By fewer answers that are cut off."""
    reasoning: float | None
    """By more right answers among those that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficacy:
    """Whether distillation from one teacher changed one student, against its untouched self."""

    task: str
    """A task's name, or `all`: the mean over tasks, each of equal weight."""
    student: str
    teacher: str
    recipe: str
    """Empty where none was given."""
    status: Literal["improved", "harmed", "undetermined"]
    comparison: Comparison
    """Right is the distilled student."""
    parts: GainParts | None
    """None where answers that cannot be read are not told apart from wrong ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherAdvantage:
    """The weaker teacher's student minus the stronger one's."""

    task: str
    student: str
    """A student's name, or `all`: the mean over students, each of equal weight."""
    size: float | None
    """Billions of parameters of the student."""
    recipe: str
    weaker: str
    stronger: str
    ordered: bool
    """Whether it is known which of the two is the weaker; if not, they are in alphabetical order."""
    better: str | None
    """The teacher that is better; None where they cannot be told apart."""
    comparison: Comparison
    """Right is the weaker teacher's student, so delta is the advantage of the weaker teacher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityGap:
    """Whether the weaker teacher is ahead for the smallest student and its lead shrinks or reverses with size."""

    task: str
    recipe: str
    weaker: str
    stronger: str
    ordered: bool
    smallest: str
    """The smallest student; `largest` the largest one."""
    largest: str
    advantages: dict[str, float]
    """Student -> advantage of the weaker teacher, by size, in shares."""
    status: Literal["pattern", "none", "undetermined"]
    """`pattern`: interval at the small end and interval of the contrast both above zero, and p adjusted below 0.05.
    `none`: an advantage of 5 points at the small end is excluded."""
    small_low: float
    """95 % interval of the advantage at the small end, in shares."""
    small_high: float
    contrast: float
    """Advantage for the smallest student minus advantage for the largest one, on the items of all four arms."""
    contrast_low: float
    contrast_high: float
    p: float
    """The larger p of small end and contrast."""
    p_adjusted: float | None
    mde: float
    """Smallest true advantage at the small end, gone at the large end, that both parts find with 80 % power at the
    5 % level each (the larger of the two detectable sizes)."""
    mde_adjusted: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChancePatterns:
    """How many tasks show a capacity-gap pattern by a rule, and how many would if the teachers were equal."""

    rule: str
    """G1 to G7, or `intervals`: small end and contrast both above zero at 95 %, not corrected for several looks."""
    weaker: str
    stronger: str
    recipe: str
    tasks: int
    observed: int
    expected: float
    """Mean over random exchanges of the two teachers' results."""
    low: int
    """5th and 95th percentile of the number of patterns by chance."""
    high: int
    p: float
    """Share of exchanges with at least the observed number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomEffects:
    """A difference pooled over tasks as a random effect: what to expect on another task like these."""

    kind: Literal["gain", "teacher", "contrast"]
    student: str
    left: str
    right: str
    tasks: int
    mean: float
    """Plain mean over tasks of right minus left, in shares."""
    standard_error: float
    """Between tasks, of the plain mean."""
    estimate: float
    """Random-effects mean: Paule-Mandel variance between tasks (statsmodels)."""
    ci_low: float
    """95 %, Hartung-Knapp-Sidik-Jonkman with t quantiles."""
    ci_high: float
    between_tasks: float
    """Standard deviation of the true differences between tasks, estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdPoint:
    """How many tasks a threshold of the in-context gap selects."""

    threshold_points: float
    selected: int
    surely_selected: int
    """95 % interval of the gap above the threshold."""
    surely_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyQuality:
    """How well a number known before training foretold the measured gains."""

    proxy: str
    prefers: Literal["higher", "lower"]
    cells: int
    """Distilled students with both a gain and a value of the proxy."""
    rank_correlation: float | None
    """Spearman's, of the proxy (sign turned where lower is preferred) with the gain; None below 3 cells or without
    variation."""
    p: float | None
    """Two-sided, by permutation; not corrected: proxies make no claims here."""
    choices: int
    """Students and tasks with at least two teachers to choose from."""
    regret: float | None
    """Mean gain lost by choosing the teacher by the proxy instead of the best one afterwards, in shares."""
    regret_of_chance: float | None
    """The same for a teacher drawn at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyLead:
    """What one number known before training says of the teachers that a student could have. It claims nothing."""

    student: str
    proxy: str
    prefers: Literal["higher", "lower"]
    tasks: int
    """Over which the values are means: those on which every teacher has one."""
    values: dict[str, Estimated]
    """Teacher (mixture) -> the number."""
    leader: str | None
    """The teacher that the number prefers; None for a tie."""
    sure: bool
    """Whether the 95 % interval of the leader's difference from each other teacher excludes zero."""


Equal = Literal["rows", "updates", "tokens", "examples"]
"""What two arms have in common beside the recipe: training rows per teacher and task; updates; supervised tokens; the
very items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityQuality:
    """How much of a teacher's lead is the quality of its rationales, and how much that there are more of them.

    All differences are right minus left, in shares, means over tasks, on items that all arms answered.
    """

    student: str
    left: str
    """Arm on all its rows, as is `right`."""
    right: str
    equal: Equal
    """In what the second pair of arms, of the same teachers, is equal."""
    tasks: int
    n: int
    """Items."""
    lead: float
    """On all rows."""
    lead_low: float
    lead_high: float
    quality: float
    """The lead that is left when quantities are equal."""
    quality_low: float
    quality_high: float
    quality_p: float
    """Adjusted in the family of all claims."""
    quantity: float
    """`lead` - `quality`."""
    quantity_low: float
    quantity_high: float
    quantity_p: float
    """Adjusted in the family of all claims."""
    shown: tuple[Literal["quality", "quantity"], ...]
    """Which of the two differ from zero: interval without it and adjusted p below 0.05."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleReading:
    """What a named plain-reading rule (`core/protocol_rules.py`) says of one task; it ignores noise."""

    rule: str
    formula: str
    task: str
    weaker: str
    stronger: str
    recipe: str
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to do with one student, in words."""

    student: str
    distil: Literal["yes", "no", "undetermined"]
    teacher: str | None
    """None where the teachers cannot be told apart or distillation is not shown to help."""
    recipe: str | None
    """Of the best arm; None where only one was tried or none is known."""
    sentence: str
    reasons: tuple[str, ...]
    surer: tuple[str, ...]
    """What would make it surer: items or training seeds more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmAccuracy:
    """One arm on one task: what can be said of it alone."""

    task: str
    student: str
    teacher: str
    """Empty before distillation."""
    recipe: str
    n: int
    """Items, scored or not."""
    unscored: int
    runs: int
    """Training runs (seeds) with a score; the accuracy is their mean."""
    accuracy: float | None
    """Over the scored items; None where there is none."""
    low: float
    """If every unscored item were wrong; `high`: right."""
    high: float
    tokens: float | None
    """Mean length of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All verdicts on one set of results. `core/findings.py` describes it as a JSON document."""

    schema: str
    version: int
    level: Literal["items", "aggregated"]
    """`aggregated`: accuracies only, so nothing is paired."""
    rows: int
    tasks: tuple[str, ...]
    students: dict[str, float | None]
    """Student -> billions of parameters, ascending; None where not known."""
    teachers: tuple[str, ...]
    recipes: tuple[str, ...]
    recommendations: tuple[Recommendation, ...]
    efficacy: tuple[Efficacy, ...]
    """Degradations first."""
    advantages: tuple[TeacherAdvantage, ...]
    capacity_gap: tuple[CapacityGap, ...]
    chance_patterns: tuple[ChancePatterns, ...]
    random_effects: tuple[RandomEffects, ...]
    selection: tuple[Selection, ...]
    thresholds: tuple[ThresholdPoint, ...]
    proxies: tuple[ProxyQuality, ...]
    rules: tuple[RuleReading, ...]
    refused: tuple[str, ...]
    """Comparisons that were not made, each with its reason and the mend."""
    notes: tuple[str, ...]
    declared: tuple[Comparison, ...] = ()
    """Pairs of arms that the experiment names, or recipes of one teacher's students, in the same family."""
    arms: tuple[ArmAccuracy, ...] = ()
    leads: tuple[ProxyLead, ...] = ()
    """What is known before training of every student's teachers; empty with fewer than two to choose from."""
    quantity: tuple[QuantityQuality, ...] = ()
    """Of every two teachers with arms of equal quantity beside those on all rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherCost:
    """What a teacher's rationales cost, and how much of it trains nothing."""

    teacher: str
    rationales: int
    right: int
    tokens: int
    """Written in all, the four below included."""
    tokens_wrong: int
    tokens_unparsable: int
    tokens_cut: int
    """Of texts that the token budget cut off."""
    tokens_duplicate: int
    """Of right ones that repeat an earlier text to the same item."""
    device_hours: float
    tokens_per_right: float | None
    """None where none is right."""
    device_seconds_per_right: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentCost:
    """What one distilled arm cost to train, what it gained, and what it costs to serve."""

    student: str
    arm: str
    device_hours: float
    """Of its training."""
    gain_points: float | None
    """Accuracy by the rules over all test items, minus the untouched student's; None where either is not known."""
    device_hours_per_point: float | None
    """None without a gain."""
    mean_tokens: float
    """Of an output: the serving cost."""
    untouched_mean_tokens: float | None
