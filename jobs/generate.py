"""Measure every model, select tasks, generate the teachers' rationales, have the untouched students read them, and say
which teacher that speaks for; nothing is trained.

python jobs/generate.py [EXPERIMENT.yaml] [--store PLACE] [--set FIELD=VALUE] [--dry-run]
"""

from capgap_ray.flow import build, finish, open_run, say, show_plan, untrained


def main() -> None:
    run = open_run(__doc__)
    if run.dry_run:
        show_plan(run)
        return
    built = build(run, until="generate")
    for (role, task), slices in ((who, slices) for plan in built.plans for who, slices in plan.rationales.items()):
        records = [run.store.record(scored.score) for scored in slices]
        rows = sum(record.summary["rows"] for record in records if record)
        right = sum(record.summary["right"] for record in records if record)
        say(f"rationales  {role} on {task}: {right} of {rows} right")
    if (before := untrained(run, built)) is not None:  # a report with trained cells says more
        finish(run, before)


if __name__ == "__main__":
    main()
