"""Measure every model, select tasks, and generate the teachers' rationales; nothing is trained.

python jobs/generate.py [EXPERIMENT.yaml] [--store PLACE] [--set FIELD=VALUE] [--dry-run]
"""

from capgap_ray.flow import build, open_run, say, show_plan


def main() -> None:
    run = open_run("Generate the teachers' rationales.")
    if run.dry_run:
        show_plan(run)
        return
    plans = build(run, until="generate").plans
    for (role, task), slices in ((who, slices) for plan in plans for who, slices in plan.rationales.items()):
        records = [run.store.record(scored.score) for scored in slices]
        rows = sum(record.summary["rows"] for record in records if record)
        right = sum(record.summary["right"] for record in records if record)
        say(f"rationales  {role} on {task}: {right} of {rows} right")


if __name__ == "__main__":
    main()
