"""Score the untouched and the distilled students on the test items, and build what that needs; or score any model.

python jobs/evaluate.py [EXPERIMENT.yaml] [--store PLACE] [--set FIELD=VALUE] [--dry-run]
python jobs/evaluate.py --model ID_OR_PATH [--adapter PATH] --tasks a,b:4 [--limit N] [--log-samples DIR]
"""

import atexit
import gc
import sys

from capgap_ray.evaluation import evaluate
from capgap_ray.flow import analyse, build, open_run, say, show_plan


def main() -> None:
    if any(word.partition("=")[0] == "--model" for word in sys.argv[1:]):
        evaluate()
        return
    run = open_run(__doc__)
    if run.dry_run:
        show_plan(run)
        return
    for row in analyse(run, build(run, until="evaluate")).accuracies:
        if row.part == "test":
            judged = "—" if row.judged is None else f"{100 * row.judged:.1f} %"
            say(f"accuracy    {row.arm} on {row.task}: {100 * row.flexible:.1f} % of {row.n}, judged {judged}")


if __name__ == "__main__":
    atexit.register(gc.freeze)  # or the interpreter, ending, looks through all modules for garbage: half a second
    main()
