"""The ancestor repository's own scoring, defects included, for the parity mode and nothing else.

Behaviour of `lm-evaluation-harness/math_metric_llm_eval_general.py` of Small-Model-Learnability-Gap at 814cf97,
written anew. Its equality is lm-eval's `hendrycks_math` family, which the tests compare it with. Every other path of
this project scores with `core/answers.py`.

Rows keep the script's fields and their order: index, problem, answer, resp_answer, exact_match,
llm_check_result, llm_check_result_reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]

NOT_JUDGED = "No need to check"
JUDGED = "LLM check result: "
NO_REPLY = "the judge gave no reply"


class AncestorAborts(ValueError):
    """The ancestor's script ends here with an exception, and so do its files."""


class _Unreadable(Exception):
    """The script's normalisation raises; it then compares both sides as they are."""


# --- extraction ------------------------------------------------------------------------------------


def last_boxed(text: str) -> str | None:
    """Return the box that the script reads, wrapper included, or None.

    A `\\boxed ` with a space anywhere wins over every other box and reaches to the next `$` or the end;
    else the last `\\boxed` (or without any, `\\fbox`) up to where its braces balance, and None if they do not.
    """
    if "\\boxed " in text:
        return "\\boxed " + text.rpartition("\\boxed ")[2].partition("$")[0]
    start = text.rfind("\\boxed")
    if start < 0:
        start = text.rfind("\\fbox")
    if start < 0:
        return None
    depth = 0
    for brace in re.finditer(r"[{}]", text[start:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0 and brace[0] == "}":
            return text[start : start + brace.end()]
    return None


def unboxed(box: str) -> str:
    """Take the wrapper off: `\\fbox{..}`, `\\boxed ..`, else blindly the first seven and the last character.

    Raises AncestorAborts for an `\\fbox{` inside another wrapper, where the script's assertion fails.
    """
    if "\\fbox{" in box:
        if not (box.startswith("\\fbox{") and box.endswith("}")):
            raise AncestorAborts(f"the ancestor's script aborts on the answer {box[:80]!r}: a box in a box")
        return box[len("\\fbox{") : -1]
    if "\\boxed " in box:
        if not box.startswith("\\boxed "):
            raise AncestorAborts(f"the ancestor's script aborts on the answer {box[:80]!r}: a box in a box")
        return box[len("\\boxed ") :]
    return box[len("\\boxed{") : -1]


def answer_of(response: str) -> str | None:
    """Return the answer that the script reads from a whole response, or None."""
    box = last_boxed(response)
    return None if box is None else unboxed(box)


# --- equality --------------------------------------------------------------------------------------


def is_equiv(left: object, right: object) -> bool:
    """Return the script's equality. Two None are equal; whatever fails to normalise is compared as it is."""
    if left is None or right is None:
        return left is None and right is None
    try:
        return _normalised(left) == _normalised(right)
    except _Unreadable:
        return bool(left == right)


def _normalised(text: object) -> str:
    """Return the script's normal form: the same steps in the same order. Raises _Unreadable where it raises."""
    if not isinstance(text, str):
        raise _Unreadable
    for old, new in (
        ("\n", ""),
        ("\\!", ""),
        ("\\\\", "\\"),
        ("tfrac", "frac"),
        ("dfrac", "frac"),
        ("\\left", ""),
        ("\\right", ""),
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("\\$", ""),
    ):
        text = text.replace(old, new)
    text, unit, more = text.partition("\\text{ ")
    if unit and "\\text{ " in more:
        raise _Unreadable
    text = text.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    text = "0" + text if text[0] == "." else text
    name, equals, value = text.partition("=")
    if equals and "=" not in value and len(name) <= 2:
        text = value
    text = _braced_fractions(_braced_roots(text).replace(" ", ""))
    return _slash_fraction("\\frac{1}{2}" if text == "0.5" else text)


def _braced_roots(text: str) -> str:
    """Write the character after each `\\sqrt` in braces. Nothing after one raises _Unreadable."""
    head, *rest = text.split("\\sqrt")
    if not all(rest):
        raise _Unreadable
    return head + "".join("\\sqrt" + (part if part[0] == "{" else f"{{{part[0]}}}{part[1:]}") for part in rest)


def _braced_fractions(text: str) -> str:
    """Write single-character arguments of `\\frac` in braces; a lone character after one leaves all as it was."""
    head, *rest = text.split("\\frac")
    for part in rest:
        if not part:
            raise _Unreadable
        if part[0] == "{":
            head += "\\frac" + part
        elif len(part) < 2:
            return text
        else:
            second = part[1] if part[1] == "{" else f"{{{part[1]}}}"
            head += f"\\frac{{{part[0]}}}{second}{part[2:]}"
    return head


def _slash_fraction(text: str) -> str:
    """Write `a/b` of whole numbers as `\\frac`. One slash between anything else raises _Unreadable."""
    over, slash, under = text.partition("/")
    if not slash or "/" in under:
        return text
    try:
        a, b = int(over), int(under)
    except ValueError:
        raise _Unreadable from None
    return f"\\frac{{{a}}}{{{b}}}" if text == f"{a}/{b}" else text


# --- rows ------------------------------------------------------------------------------------------


def matching(task: str, file_names: Sequence[str]) -> list[str]:
    """Return the sample files that the script reads for a task, in the order given.

    It asks for the prefix `samples_<task>` only: every run in the folder is read, and `hendrycks_math` reads
    `hendrycks_math_500` too.
    """
    return [name for name in file_names if name.startswith(f"samples_{task}")]


def problem_and_gold(file_name: str, doc: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return (problem, gold) of a sample as the script takes them, unconverted: AMC's gold stays a float.

    A log of `jobs/evaluate.py` bears this project's name of the task, `olympiadbench`; the script's is `Olympiad`.
    Raises AncestorAborts for a document without these fields (those of GSM8K).
    """
    try:
        if "Olympiad" in file_name or "olympiadbench" in file_name:
            return doc["question"], doc["final_answer"][0]
        if "Numina" in file_name:
            return doc["problem"], answer_of(doc["solution"])
        return doc["problem"], doc["answer"]
    except KeyError as missing:
        raise AncestorAborts(f"{file_name}: the ancestor's script aborts, its rows have no field {missing}") from None


def rule_rows(items: Sequence[tuple[Any, Any, str]]) -> list[Row]:
    """Score (problem, gold, response) by the script's rules; rows are numbered in the order given."""
    rows = []
    for index, (problem, gold, response) in enumerate(items):
        answer = answer_of(response)
        right = int(answer is not None and is_equiv(answer, gold))
        rows.append(
            {
                "index": index,
                "problem": problem,
                "answer": gold,
                "resp_answer": answer,
                "exact_match": right,
                "llm_check_result": right,
                "llm_check_result_reason": NOT_JUDGED,
            }
        )
    return rows


def is_problematic(row: Row) -> bool:
    """Return whether the rules reject a boxed answer: these rows go to the judge, and rows without a box never."""
    return row["exact_match"] == 0 and row["resp_answer"] is not None


def judge_input(row: Row) -> str:
    """Return the script's prompt for one row, chat template included and nothing escaped."""
    return (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nGiven a math problem, its correct answer, and the model's generated answer, determine if "
        "the model's generated answer is correct. Respond with 'True' if the answer is correct and 'False' if it is "
        "incorrect. Directly provide your judgement 'True' or 'False' without any other description.\n"
        f"Problem: {row['problem']}\nCorrect Answer: {row['answer']}\nModel's Generated Answer: {row['resp_answer']}\n"
        "Your judgement:<|im_end|>\n<|im_start|>assistant\n"
    )


def verdict(reply: str) -> int | None:
    """Return 1 if the reply has `True` anywhere, else 0 if it has `False`, else None."""
    return 1 if "True" in reply else 0 if "False" in reply else None


def with_replies(rows: Sequence[Row], replies: Mapping[int, str | None]) -> list[Row]:
    """Join the judge's replies by index; None, of a row that it could not be asked about, is no verdict.

    Raises ValueError, naming the row, if one to be judged has no entry.
    """
    made = []
    for row in rows:
        if is_problematic(row):
            if row["index"] not in replies:
                raise ValueError(f"row {row['index']}: the judge has not been asked about it")
            reply = replies[row["index"]]
            if reply is None:
                row = row | {"llm_check_result": None, "llm_check_result_reason": NO_REPLY}
            else:
                found = {"llm_check_result": verdict(reply), "llm_check_result_reason": JUDGED + reply.strip()}
                row = row | found
        made.append(row)
    return made


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Return the script's summary; None verdicts count as wrong. Raises AncestorAborts for no rows."""
    if not rows:
        raise AncestorAborts("there is no row to score: the ancestor's script divides by zero here")
    return {
        "none_resp_answer_count": sum(row["resp_answer"] is None for row in rows),
        "exact_match_accuracy": sum(row["exact_match"] for row in rows) / len(rows),
        "llm_check_result_accuracy": sum(row["llm_check_result"] or 0 for row in rows) / len(rows),
        "none_llm_check_result_count": sum(row["llm_check_result"] is None for row in rows),
    }
