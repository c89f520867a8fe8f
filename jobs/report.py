"""Make the report again from what the store holds; nothing is built, and Ray is not started.

python jobs/report.py [EXPERIMENT.yaml] [--store PLACE] [--set FIELD=VALUE]
"""

from capgap_ray.flow import finish, open_run, stored


def main() -> None:
    run = open_run("Make the report from what the store holds.")
    finish(run, stored(run))


if __name__ == "__main__":
    main()
