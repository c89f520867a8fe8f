"""Run a whole experiment: baselines, selection, rationales, SFT over the grid, scores, verdicts, report.

    python jobs/grid.py [EXPERIMENT.yaml] [--store PLACE] [--set FIELD=VALUE] [--dry-run]

What the store already holds is not built again, so a run that was interrupted goes on.
"""

from capgap_ray.flow import analyse, build, open_run, publish, say, show_plan
from capgap_ray.report.tables import verdict_text


def main() -> None:
    run = open_run("Run a whole distillation experiment.")
    if run.dry_run:
        show_plan(run)
        return
    plan, chosen = build(run, until="evaluate")
    answer = analyse(run, plan, chosen)
    page = publish(run, answer)
    say("\n" + verdict_text(answer))
    say(f"report: {page}")


if __name__ == "__main__":
    main()
