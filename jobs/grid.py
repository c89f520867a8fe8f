"""Run a whole experiment: baselines, selection, rationales, SFT over the grid, scores, verdicts, report.

    python jobs/grid.py [EXPERIMENT.yaml] [--store PLACE] [--set FIELD=VALUE] [--dry-run]

What the store already holds is not built again, so a run that was interrupted goes on.
"""

from capgap_ray.flow import build, finish, open_run, show_plan


def main() -> None:
    run = open_run(__doc__)
    if run.dry_run:
        show_plan(run)
        return
    finish(run, build(run, until="evaluate"))


if __name__ == "__main__":
    main()
