"""Train every cell of the grid, and what it needs before; nothing is evaluated on test items.

python jobs/train.py [EXPERIMENT.yaml] [--store PLACE] [--set FIELD=VALUE] [--dry-run]
"""

from capgap_ray.flow import build, open_run, say, show_plan


def main() -> None:
    run = open_run(__doc__)
    if run.dry_run:
        show_plan(run)
        return
    for cell in (cell for plan in build(run, until="train").plans for cell in plan.cells):
        say(f"checkpoint  {cell.student.name} / {cell.arm}: {run.store.local_path(run.store.folder(cell.train))}")


if __name__ == "__main__":
    main()
