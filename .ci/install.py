"""Make the virtual environment: `python3 .ci/install.py cpu|gpu`. Needs Python 3.11 or 3.12 and nothing else.

Packages come from where pip is configured to look (find-links, indexes, certificates), by uv as well. Where pip
has no such configuration, CPU torch comes from PyTorch's public CPU index.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def pip_settings(python: str) -> dict[str, list[str]]:
    """pip's configuration: option -> values, from its files and environment variables alike."""
    listing = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    settings: dict[str, list[str]] = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        values = value.strip().strip("'\"").replace("\\n", " ").split()
        known = settings.setdefault(name.rpartition(".")[2], [])
        known += [each for each in values if each not in known]
    return settings


def uv_environment(settings: dict[str, list[str]], accelerator: str) -> dict[str, str]:
    """The same sources in uv's words."""
    environment = {}
    if "index-url" in settings:
        environment["UV_DEFAULT_INDEX"] = settings["index-url"][-1]
    indexes = list(settings.get("extra-index-url", ()))
    own_sources = any(name in settings for name in ("index-url", "extra-index-url", "find-links"))
    if accelerator == "cpu" and not own_sources:
        indexes.append(PYTORCH_CPU_INDEX)
    if indexes:
        environment["UV_INDEX"] = " ".join(indexes)
        environment["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip's own: the best version wins, wherever it is
    if "find-links" in settings:
        environment["UV_FIND_LINKS"] = ",".join(settings["find-links"])
    if "cert" in settings:
        environment["SSL_CERT_FILE"] = settings["cert"][-1]
    if "no-index" in settings:
        environment["UV_NO_INDEX"] = "1"
    return environment


def main() -> None:
    accelerator = sys.argv[1] if len(sys.argv) == 2 else ""
    if accelerator not in ("cpu", "gpu"):
        raise SystemExit(f"ACCELERATOR is {accelerator!r}; write cpu or gpu")
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        raise SystemExit(f"Python {sys.version.split()[0]} does not fit; name a 3.11 or 3.12: make PYTHON=python3.11")
    print(f"environment  {accelerator}, Python {sys.version.split()[0]}, into .venv (about two minutes)", flush=True)
    python = str(ENVIRONMENT / "bin" / "python")
    if not Path(python).exists():
        venv.create(ENVIRONMENT, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"], check=True)
    command = [
        python,
        "-m",
        "uv",
        "pip",
        "install",
        "--python",
        python,
        "--quiet",
        "--editable",
        f".[{accelerator},dev]",
    ]
    command += ["--constraint", "constraints.txt"]
    # Bytecode once here, or every one of the many processes of a run might compile what it imports again.
    command += ["--compile-bytecode"]
    if accelerator == "cpu":
        command += ["--overrides", ".ci/overrides-cpu.txt"]
    environment = {**os.environ, **uv_environment(pip_settings(python), accelerator)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    main()
