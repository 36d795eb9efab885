"""The old name of `python -m eval.jsd --level word`."""

from data.command import run_command
from eval.jsd import main_of_words as main

if __name__ == "__main__":
    run_command(main)
