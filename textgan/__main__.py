"""The console command: `textgan NAME` runs the command NAME from any folder.

textgan jsd samples.txt --reference corpus.txt.gz
textgan images train --preset quickstart
"""

import sys
from difflib import get_close_matches
from importlib import import_module

from data.command import run_command
from data.errors import InputError
from data.missing import textgan_version

COMMANDS = {
    "train": ("textgan.train", "train on text"),
    "sample": ("textgan.sample", "draw samples from a run, or export its generator"),
    "suite": ("textgan.suite", "run several methods and seeds under one budget"),
    "compare": ("textgan.compare", "compare runs: figure, table, time to a score"),
    "sweep": ("textgan.sweep", "score a generator over temperatures, and what it gains over maximum likelihood"),
    "search": ("textgan.search", "search both learning rates"),
    "theory": ("textgan.theory.__main__", "the theory of two time-scales: figures and tables"),
    "bench": ("textgan.bench", "time the parts of a training run"),
    "report": ("eval.report", "score text files by all metrics"),
    "jsd": ("eval.jsd", "n-gram JSD of characters or words"),
    "overlap": ("eval.overlap", "precision, recall and cosine of n-grams"),
    "likelihood": ("eval.likelihood", "bits per character under n-gram models"),
    "bleu": ("eval.bleu", "BLEU and Self-BLEU"),
    "ms-jaccard": ("eval.ms_jaccard", "MS-Jaccard, quality and variety in one number"),
    "diversity": ("eval.diversity", "distinct n-grams and duplicates"),
    "memorisation": ("eval.memorisation", "known words and copied lines"),
    "ngrams": ("eval.ngrams", "count n-grams of a reference, and merge counts"),
    "ngram-sampler": ("eval.ngram_sampler", "draw samples from an n-gram model"),
    "fid": ("eval.fid", "score images: FID, KID, precision and recall, Inception Score"),
    "disturb": ("eval.disturb", "test whether metrics follow disturbances of images or of text"),
    "eval-bench": ("eval.bench", "time the evaluators"),
    "submit": ("leaderboards.submit", "make leaderboard records from runs or samples"),
    "build": ("leaderboards.build", "make the leaderboards' pages"),
    "verify": ("leaderboards.verify", "check leaderboard records"),
    "images train": ("images.train", "train on images"),
    "images sample": ("images.sample", "draw images from a run"),
    "images suite": ("images.suite", "run several methods and seeds on images"),
    "images search": ("images.search", "search both learning rates on images"),
    "images bench": ("images.bench", "time the parts of a training run on images"),
    "data images": ("data.images.__main__", "show a data set of images"),
    "data cache": ("data.cache", "list the cache of derived data, and remove entries"),
    "data grammar": ("data.grammar", "print the embedded corpus"),
}
"""Module and one-line description of each command."""


def run(arguments: list[str]) -> int:
    """Run the command named by the first arguments, and return its exit status.

    Raises:
        InputError: there is no command of this name.
    """
    words = 2 if arguments[:1] in (["images"], ["data"]) else 1
    name = " ".join(arguments[:words]).replace("_", "-")
    if name in COMMANDS:
        sys.argv = [f"textgan {name}", *arguments[words:]]
        status: int = import_module(COMMANDS[name][0]).main(sys.argv[1:])
        return status
    if name == "--version":
        print(f"textgan {textgan_version()}")
        return 0
    if arguments[-1:] in (["--help"], ["-h"]):
        print("usage: textgan COMMAND [FLAGS]; every command has --help\n")
        print("\n".join(f"  {name:16} {description}" for name, (_, description) in COMMANDS.items()))
        return 0
    similar = get_close_matches(name, COMMANDS, 2)
    hint = f"; did you mean textgan {' or textgan '.join(similar)}?" if similar else ""
    raise InputError((f"{name}: no command" if name else "no command given") + f"{hint}; see textgan --help")


def main() -> None:
    """Run the console command as the process."""
    run_command(run)


if __name__ == "__main__":
    main()
