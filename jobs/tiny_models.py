"""Make the embedded tiny models: train them from scratch on CPU, measure them, write their card.

python jobs/tiny_models.py --train tiny-student-0.5m   # one model, or `all`; continues where a killed run stopped
python jobs/tiny_models.py --measure 100               # every model on 100 held-out items of every task
"""

import argparse
from pathlib import Path

from capgap_ray.tiny.family import FAMILY
from capgap_ray.tiny.making import make_model, measure_family


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="*", default=[], choices=[*FAMILY, "all"], help="models to train")
    parser.add_argument("--until", type=int, help="stop at this update and export, without the rest of the schedule")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; one process per core is fastest")
    parser.add_argument("--measure", type=int, metavar="N", help="measure on N items of each task")
    parser.add_argument("--work", type=Path, default=Path(".work/tiny_models"), help="folder of resumable states")
    args = parser.parse_args()
    if not args.train and not args.measure:
        parser.error("nothing to do; give --train NAME or --measure N")
    for name in FAMILY if "all" in args.train else args.train:
        make_model(FAMILY[name], args.work, until=args.until, threads=args.threads)
    if args.measure:
        measure_family(args.work, args.measure)


if __name__ == "__main__":
    main()
