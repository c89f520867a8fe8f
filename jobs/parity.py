"""Score lm-eval's sample logs as the ancestor repository does, defects included, and write its files.

python jobs/parity.py --samples FOLDER --tasks AIME,AMC,gsm8k --judge MODEL [--out FOLDER] [--store PLACE] [--gpus N]

MODEL is a name of the catalogue or a folder. Use it to reproduce published numbers only: the report's own scores
(jobs/grid.py, jobs/evaluate.py) mend what this repeats.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from capgap_ray.artifacts.store import Store, StoreError
from capgap_ray.catalog.models import MODELS, ModelSpec, resolve
from capgap_ray.core.ancestor import AncestorAborts
from capgap_ray.core.task_spec import TaskError
from capgap_ray.flow import refuse, say
from capgap_ray.parity import ancestor_files
from capgap_ray.settings import Engine, Resources

VERDICT_TOKENS = 20  # the ancestor's


def main() -> None:
    parser = argparse.ArgumentParser(description="Score sample logs as the ancestor repository does.")
    parser.add_argument("--samples", type=Path, required=True, help="folder of samples_*.jsonl, results_*.json if any")
    parser.add_argument("--tasks", required=True, help="prefixes of sample files, comma-separated; gsm8k has no judge")
    parser.add_argument("--judge", required=True, help="model of the catalogue, or a folder")
    parser.add_argument("--out", type=Path, help="where the files go (default: beside the samples)")
    parser.add_argument("--store", default="store", help="where verdicts are kept (default: ./store)")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of the judge's engine (default: none)")
    parser.add_argument("--max-model-len", type=int, default=4096, help="longest prompt and verdict, in tokens")
    arguments = parser.parse_args()
    out = arguments.out or arguments.samples

    def asked(prompts: Sequence[str]) -> Sequence[str | None]:
        from capgap_ray.stages.ask import ask

        say(f"judge       {len(prompts)} rejected answers")
        engine = Engine(dtype="float16" if arguments.gpus else "float32", max_model_len=arguments.max_model_len)
        where = Resources(engine_gpus=arguments.gpus)
        replies = ask(store, judge.source, judge.identity, prompts, VERDICT_TOKENS, engine, where)
        if lost := replies.count(None):
            limit = f"--max-model-len {arguments.max_model_len}"
            say(f"judge       {lost} of them got no reply and no verdict; raise {limit} if they are too long for it")
        return replies

    try:
        if not arguments.samples.is_dir():
            raise TaskError(f"--samples: folder {str(arguments.samples)!r} does not exist")
        judge = resolve(arguments.judge, MODELS.get(arguments.judge, ModelSpec(source=arguments.judge)))
        store = Store(arguments.store)
        store.check_writable()
        files = ancestor_files(arguments.samples, arguments.tasks.split(","), asked)
    except (TaskError, AncestorAborts, StoreError, ValueError) as error:
        refuse(str(error))
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
        say(f"wrote       {out / name}")


if __name__ == "__main__":
    main()
