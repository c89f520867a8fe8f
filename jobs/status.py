"""Say what of an experiment is done, begun and failed, from the store alone: no cluster is asked, nothing is written.

    python jobs/status.py [EXPERIMENT.yaml] [--store PLACE] [--set FIELD=VALUE] [--json]

`begun` is what has files and no record: it runs, or was interrupted and goes on with the next run of the job.
"""

import json
import sys

from capgap_ray.artifacts.store import StoreError
from capgap_ray.flow import open_run, refuse, say
from capgap_ray.rows import to_row
from capgap_ray.status import lines, status


def main() -> None:
    run = open_run(__doc__, [*sys.argv[1:], "--dry-run"], builds=False)
    try:
        told = status(run)
    except StoreError as error:
        refuse(str(error))
    if run.json:
        say(json.dumps(to_row(told), indent=1))
    else:
        say("\n".join(lines(told)))


if __name__ == "__main__":
    main()
