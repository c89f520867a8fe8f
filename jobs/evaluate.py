"""Score the untouched and the distilled students on the test items, and build what that needs.

python jobs/evaluate.py [EXPERIMENT.yaml] [--store PLACE] [--set FIELD=VALUE] [--dry-run]
"""

from capgap_ray.flow import analyse, build, open_run, say, show_plan


def main() -> None:
    run = open_run("Score every student on the test items.")
    if run.dry_run:
        show_plan(run)
        return
    for row in analyse(run, build(run, until="evaluate")).accuracies:
        if row.part == "test":
            judged = "—" if row.judged is None else f"{100 * row.judged:.1f} %"
            say(f"accuracy    {row.arm} on {row.task}: {100 * row.flexible:.1f} % of {row.n}, judged {judged}")


if __name__ == "__main__":
    main()
