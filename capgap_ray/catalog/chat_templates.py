"""Chat templates by name: for a student whose tokenizer has none, or another one than is wanted.

Each renders plain conversations as the models that it is named after do; tools and dates are left out. `chatml` has no
system message of its own, `qwen2.5` has Qwen2.5's; `llama3` is Llama 3's; `gemma3` writes a system message into the
first user turn, as Gemma 3 does.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "templates"


def template_names() -> tuple[str, ...]:
    """The names that `read_template` knows."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.jinja")))


def read_template(name: str) -> str:
    """The Jinja text of a name, or of a file `PATH.jinja`. Raises ValueError on anything else."""
    if name in template_names():
        return (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    file = Path(name)
    if file.suffix != ".jinja" or not file.is_file():
        raise ValueError(f"{name!r} is no file PATH.jinja and no known template; known: {', '.join(template_names())}")
    text = file.read_text(encoding="utf-8")
    if not text.strip():
        raise ValueError(f"{name} is empty")
    return text
