"""Results made elsewhere: a Parquet, CSV or JSONL file -> `core.findings.Table`.

One row per answer: task, student, teacher (empty: before distillation), item, correct (0, 1, true, false or a share;
empty: unscored), and optionally seed (of training), sample, size (billions of parameters), recipe, outcome (right,
wrong, unparsable, truncated), tokens, prompt, engine. Or one row per accuracy: task, student, teacher, accuracy (a
share), n, and optionally seed, size, recipe. Everything in the file is data: nothing is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from capgap_ray.core.arms import UNTOUCHED, Arm
from capgap_ray.core.findings import ALL, Table, size_in

KEY = ("task", "student", "teacher", "recipe")
OPTIONAL = ("seed", "sample", "size", "recipe", "outcome", "tokens", "prompt", "engine")
OUTCOMES = ("right", "wrong", "unparsable", "truncated")
_TRUE, _FALSE = {"true", "t", "yes", "1", "1.0"}, {"false", "f", "no", "0", "0.0"}
Array = Any


class ResultsError(ValueError):
    """A results file of which nothing can be said; one line for people."""


def read(path: str) -> Table:
    """Read and check a results file.

    What is wrong with single arms is refused with a reason in the table's `refused`, and the rest stands. Raises
    ResultsError, naming file, column and mend, where nothing is left.
    """
    rows = _columns(path)
    names = list(rows.column_names)
    aggregated = "correct" not in names and "accuracy" in names
    needed = ("task", "student", "teacher", "accuracy" if aggregated else "correct")
    missing = [name for name in needed if name not in names]
    if missing:
        raise ResultsError(
            f"{path}: column {missing[0]!r} is missing (it has {', '.join(names)}); results need task, student, "
            "teacher (empty: before distillation) and item, correct, or accuracy, n"
        )
    if not rows.num_rows:
        raise ResultsError(f"{path}: has no rows")
    used = {*needed, "item", "n", *OPTIONAL} if not aggregated else {*needed, "n", "seed", "size", "recipe"}
    notes = []
    if ignored := [name for name in names if name not in used]:
        notes.append(f"columns not used: {', '.join(ignored)}; name the one that tells arms apart `recipe`")
    return _Reader(path, rows, notes).table(aggregated)


def _columns(path: str) -> Any:
    """The file as an Arrow table; column names in lower case, without spaces around them."""
    import pyarrow as pa

    if not Path(path).is_file():
        raise ResultsError(f"{path}: no such file")
    suffix = Path(path).suffix.lower()
    try:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            rows = pq.read_table(path)
        elif suffix == ".csv":
            import pyarrow.csv as pc

            # Numbers stay text until their column is known: item 007 is not item 7.
            with open(path, "rb") as stream, pc.open_csv(stream) as reader:
                header = reader.schema.names
            types = dict.fromkeys(header, pa.string())
            options = pc.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=["", "NA", "null"])
            rows = pc.read_csv(path, convert_options=options)
        elif suffix in (".jsonl", ".ndjson", ".json"):
            import pyarrow.json as pj

            rows = pj.read_json(path)
        else:
            raise ResultsError(f"{path}: {suffix or 'no suffix'} is not .parquet, .csv or .jsonl")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: cannot be read as {suffix}: {' '.join(str(error).split())[:300]}") from None
    clean = [str(name).strip().lower() for name in rows.column_names]
    if twice := {name for name in clean if clean.count(name) > 1}:
        raise ResultsError(f"{path}: column {min(twice)!r} occurs more than once")
    return rows.rename_columns(clean)


class _Reader:
    """One file's columns as codes; lives for one call of `read`."""

    def __init__(self, path: str, rows: Any, notes: list[str]) -> None:
        self.path, self.rows, self.notes = path, rows, notes
        self.refused: list[str] = []
        self.count = rows.num_rows
        self.codes: dict[str, Array] = {}
        self.labels: dict[str, list[str]] = {}
        for name in (*KEY, "seed", "sample", "item", "outcome", "prompt", "engine"):
            self._encode(name)
        for name in ("task", "student"):
            if "" in self.labels[name]:
                raise ResultsError(f"{path}: column {name!r} is empty in some rows; name it in each")
            if ALL in self.labels[name]:
                raise ResultsError(
                    f"{path}: column {name!r} holds {ALL!r}, the name of what is pooled here; take out rows that are "
                    f"already pooled, or rename the {name}"
                )
        self.unnamed = self.labels["item"].index("") if "" in self.labels["item"] else -1
        """Code of the empty item."""

    def table(self, aggregated: bool) -> Table:
        if not aggregated and "item" not in self.rows.column_names:
            self.notes.append(
                "column 'item' is missing: which answers belong together is not known, so nothing is paired"
            )
            arms = self._arms(self._arm_without_items)
        else:
            arms = self._arms(self._arm_of_accuracy if aggregated else self._arm_of_items)
        if not arms:
            why = "; ".join(self.refused[:3]) or "no arm is left"
            raise ResultsError(f"{self.path}: nothing can be said: {why}")
        return Table(
            arms=tuple(arms),
            rows=self.count,
            sizes=self._sizes(),
            notes=tuple(self.notes),
            refused=tuple(self.refused),
        )

    # --- columns -----------------------------------------------------------------------------------

    def _encode(self, name: str) -> None:
        """Text column -> codes into its labels; an absent column and an absent value are the empty text."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if name not in self.rows.column_names:
            self.codes[name], self.labels[name] = np.zeros(self.count, np.int64), [""]
            return
        column = self.rows.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # no rows
            column = pa.array([], pa.string())
        if pa.types.is_nested(column.type):
            raise ResultsError(f"{self.path}: column {name!r} holds {column.type}, expected text or numbers")
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_floating(column.type):
            # A whole-number column with gaps arrives as floats, which beyond 2^53 are not whole numbers only.
            whole = pc.and_(pc.equal(pc.round(column), column), pc.less(pc.abs(column), 2.0**53))
            column = column.cast(pa.int64()) if pc.all(whole).as_py() else column
        text = pc.fill_null(self._cast(name, column, pa.string(), "text or numbers"), "")
        if name != "item":
            text = pc.utf8_trim_whitespace(text)
        encoded = text.dictionary_encode()
        self.codes[name] = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self.labels[name] = encoded.dictionary.to_pylist()
        if name == "teacher":  # other programs' words for an empty cell, and the reports' own
            words = ("none", "null", "nan", "untouched")
            plain = [UNTOUCHED if label.lower() in words else label for label in self.labels[name]]
            self.labels[name] = list(dict.fromkeys(plain))
            self.codes[name] = np.array([self.labels[name].index(label) for label in plain])[self.codes[name]]

    def _cast(self, name: str, column: Any, kind: Any, expected: str) -> Any:
        import pyarrow as pa

        try:
            return column.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise ResultsError(f"{self.path}: column {name!r} holds {column.type}, expected {expected}") from None

    def _numbers(self, name: str) -> Array:
        """A column as floats; NaN where empty. Raises ResultsError on what is no number."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.rows.column(name).combine_chunks()
        if pa.types.is_nested(column.type):
            raise ResultsError(f"{self.path}: column {name!r} holds {column.type}, expected numbers")
        if (
            pa.types.is_string(column.type)
            or pa.types.is_large_string(column.type)
            or pa.types.is_dictionary(column.type)
        ):
            encoded = column.cast(pa.string()).dictionary_encode()
            values = np.array([self._number(name, text) for text in encoded.dictionary.to_pylist()] + [np.nan])
            codes = pc.fill_null(encoded.indices, len(values) - 1).to_numpy(zero_copy_only=False)
            return values[codes]
        floats = self._cast(name, column, pa.float64(), "numbers")
        numbers = pc.fill_null(floats, np.nan).to_numpy(zero_copy_only=False).copy()
        if np.isinf(numbers).any():
            raise ResultsError(f"{self.path}: column {name!r} holds an infinite number")
        return numbers

    def _number(self, name: str, text: str) -> float:
        word = text.strip().lower()
        if word in ("", "na", "nan", "none", "null"):
            return np.nan
        if name == "correct" and word in _TRUE | _FALSE:
            return float(word in _TRUE)
        try:
            number = float(word)
        except ValueError:
            number = np.inf
        if np.isinf(number):
            allowed = "0, 1, true, false or empty" if name == "correct" else "a number or empty"
            raise ResultsError(f"{self.path}: column {name!r} holds {text[:60]!r}, expected {allowed}")
        return number

    def _sizes(self) -> dict[str, float | None]:
        """Student -> billions; from the column, else from the names, which is said."""
        students = self.labels["student"]
        sizes: dict[str, float | None] = dict.fromkeys(students)
        if "size" in self.rows.column_names:
            values = self._sizes_of_rows()
            if (bad := values[values <= 0]).size:
                raise ResultsError(
                    f"{self.path}: column 'size' holds {bad[0]:g}, expected billions of parameters, above 0, or empty"
                )
            for code, student in enumerate(students):
                found = {float(v) for v in np.unique(values[self.codes["student"] == code]) if not np.isnan(v)}
                if len(found) > 1:
                    self.notes.append(
                        f"size: {student} has {len(found)} sizes ({min(found):g} to {max(found):g}); unused"
                    )
                elif found:
                    sizes[student] = found.pop()
        unknown = [student for student in students if sizes[student] is None]
        read = {student: size for student in unknown if (size := size_in(student)) is not None}
        if read:
            self.notes.append("size read from the name: " + ", ".join(f"{s} = {v:g}B" for s, v in read.items()))
        teachers = {
            t: size for t in self.labels["teacher"] if t and t not in sizes and (size := size_in(t)) is not None
        }
        return sizes | read | teachers

    def _sizes_of_rows(self) -> Array:
        """Sizes may be written 0.5 or 0.5B."""
        import pyarrow as pa

        column = self.rows.column("size")
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            self._encode("size")
            values = [size_in(label) if label and label[-1:].isalpha() else None for label in self.labels["size"]]
            each = [
                value if value is not None else self._number("size", label)
                for value, label in zip(values, self.labels["size"], strict=True)
            ]
            return np.array(each)[self.codes["size"]]
        return self._numbers("size")

    # --- arms --------------------------------------------------------------------------------------

    def _arms(self, make: Any) -> list[Arm]:
        """Group rows by arm, in order of appearance, and make each; None from `make` is a refused one."""
        group = np.zeros(self.count, np.int64)
        for name in KEY:
            group = group * len(self.labels[name]) + self.codes[name]
        _, first, inverse, counts = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
        order = np.argsort(inverse, kind="stable")
        starts = np.concatenate([[0], np.cumsum(counts)])
        self.value = self._numbers("accuracy" if "correct" not in self.rows.column_names else "correct")
        self.tokens = self._numbers("tokens") if "tokens" in self.rows.column_names else None
        self.items = self._numbers("n") if "n" in self.rows.column_names else None
        arms = []
        for index in np.argsort(first):
            rows = order[starts[index] : starts[index + 1]]
            who: dict[str, Any] = {name: self.labels[name][self.codes[name][rows[0]]] for name in KEY}
            arm = make(who, rows)
            if arm is not None:
                arms.append(arm)
        return arms

    def _refuse(self, who: Mapping[str, str], why: str) -> None:
        teacher = f"from {who['teacher']}" if who["teacher"] else "untouched"
        recipe = f" ({who['recipe']})" if who["recipe"] else ""
        self.refused.append(f"{who['task']}: {who['student']} {teacher}{recipe}: {why}")

    def _valid(self, who: Mapping[str, str], rows: Array, name: str) -> bool:
        values = self.value[rows]
        known = values[~np.isnan(values)]
        if bad := [v for v in known if not 0 <= v <= 1]:
            hint = "; give shares, 0.51 for 51 %" if name == "accuracy" and 1 < bad[0] <= 100 else ""
            self._refuse(who, f"{name} {bad[0]:g} is outside 0 to 1{hint}")
            return False
        return True

    def _runs(self, rows: Array) -> tuple[Array, tuple[str, ...]]:
        """Index of each row's run, and the runs' labels, sorted."""
        codes, inverse = np.unique(self.codes["seed"][rows], return_inverse=True)
        labels = [self.labels["seed"][code] for code in codes]
        order = sorted(range(len(labels)), key=lambda i: labels[i])
        rank: Array = np.empty(len(labels), np.int64)
        rank[order] = np.arange(len(labels))
        return rank[inverse], tuple(labels[i] for i in order)

    def _arm_of_items(self, who: dict[str, Any], rows: Array) -> Arm | None:
        if not self._valid(who, rows, "correct"):
            return None
        item, item_index = np.unique(self.codes["item"][rows], return_inverse=True)
        if self.unnamed in item:
            self._refuse(who, "column 'item' is empty in some rows; name every item")
            return None
        run, labels = self._runs(rows)
        cell = item_index * len(labels) + run
        answer = cell * len(self.labels["sample"]) + self.codes["sample"][rows]
        values, counts = np.unique(answer, return_counts=True)
        if len(values) < len(rows):
            twice = self.labels["item"][item[values[counts.argmax()] // len(self.labels["sample"]) // len(labels)]]
            self._refuse(
                who,
                f"item {twice!r} occurs more than once ({len(rows) - len(values)} such rows); remove duplicates, or "
                "tell repeats apart with a column `seed` (training runs) or `sample` (answers of one model)",
            )
            return None
        shape = (len(item), len(labels))
        scores = self.value[rows]
        known = ~np.isnan(scores)
        size = len(item) * len(labels)
        sums = np.bincount(cell[known], scores[known], size)
        answers = np.bincount(cell[known], minlength=size)
        seen = np.bincount(cell, minlength=size)
        if (seen == 0).any():
            self.notes.append(
                f"{who['task']}: {who['student']} from {who['teacher'] or 'no teacher'}: {int((seen == 0).sum())} "
                f"answers are missing in some of {len(labels)} seeds; they count as unscored"
            )
        protocol = self._protocol(who, rows, item_index, item)
        if protocol is None:
            return None
        means = np.where(answers > 0, sums / np.maximum(answers, 1), np.nan).reshape(shape)
        return Arm(
            **who,
            scores=means,
            runs=labels,
            items=item,
            n=len(item),
            grain=1 / max(1, int(seen.max())),
            shares=self._shares(rows),
            tokens=self._tokens(rows),
            protocol=protocol or None,
        )

    def _shares(self, rows: Array) -> dict[str, float] | None:
        if "outcome" not in self.rows.column_names:
            return None
        labels = [self.labels["outcome"][code] for code in np.unique(self.codes["outcome"][rows])]
        if odd := [label for label in labels if label not in OUTCOMES]:
            self.notes.append(f"outcome: {odd[0]!r} is not one of {', '.join(OUTCOMES)}; gains are not split there")
            return None
        counts = np.bincount(self.codes["outcome"][rows], minlength=len(self.labels["outcome"]))
        by_label = dict(zip(self.labels["outcome"], counts / len(rows), strict=True))
        return {outcome: float(by_label.get(outcome, 0.0)) for outcome in OUTCOMES}

    def _tokens(self, rows: Array) -> float | None:
        if self.tokens is None or np.isnan(self.tokens[rows]).all():
            return None
        return float(np.nanmean(self.tokens[rows]))

    def _protocol(self, who: Mapping[str, str], rows: Array, item_index: Array, item: Array) -> dict[str, Array] | None:
        """Prompt and engine of each item where they are told; None, and a refusal, where an item has several."""
        made = {}
        for name in ("prompt", "engine"):
            if name in self.rows.column_names:
                codes: Array = np.empty(len(item), np.int64)
                codes[item_index] = self.codes[name][rows]
                if (several := codes[item_index] != self.codes[name][rows]).any():
                    first = self.labels["item"][item[item_index[several][0]]]
                    self._refuse(
                        who,
                        f"item {first!r} was answered with more than one {name}; use one for all of its seeds and "
                        "samples, or tell the arms apart with a column `recipe`",
                    )
                    return None
                made[name] = codes
        return made

    def _arm_without_items(self, who: dict[str, Any], rows: Array) -> Arm | None:
        """Rows of single answers without names: their mean, over those that are scored."""
        if not self._valid(who, rows, "correct"):
            return None
        run, labels = self._runs(rows)
        scores = self.value[rows]
        known = ~np.isnan(scores)
        counts = np.bincount(run[known], minlength=len(labels))
        if not counts.all():
            self._refuse(who, "no row has a score")
            return None
        means = np.bincount(run[known], scores[known], len(labels)) / counts
        return Arm(
            **who, scores=means[None, :], runs=labels, items=None, n=int(counts.min()), tokens=self._tokens(rows)
        )

    def _arm_of_accuracy(self, who: dict[str, Any], rows: Array) -> Arm | None:
        if not self._valid(who, rows, "accuracy"):
            return None
        run, labels = self._runs(rows)
        if len(labels) < len(rows):
            self._refuse(who, f"{len(rows)} rows for one arm; tell training runs apart with a column `seed`")
            return None
        accuracies = np.empty(len(labels))
        accuracies[run] = self.value[rows]
        if np.isnan(accuracies).any():
            self._refuse(who, "accuracy is empty; remove the row or fill it in")
            return None
        if self.items is None:
            self._refuse(who, "column 'n' is missing, so nothing can be tested; give the number of items")
            return None
        n = self.items[rows]
        if np.isnan(n).any() or (n < 1).any() or (n != np.round(n)).any():
            bad = n[np.isnan(n) | (n < 1) | (n != np.round(n))][0]
            self._refuse(who, f"n {bad:g} is not a number of items; give a whole number above 0")
            return None
        if len(set(n)) > 1:
            self._refuse(
                who, f"its seeds have {int(n.min())} to {int(n.max())} items; score all seeds on the same items"
            )
            return None
        return Arm(**who, scores=accuracies[None, :], runs=labels, items=None, n=int(n[0]))
