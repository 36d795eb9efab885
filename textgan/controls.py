"""`python -m textgan.suite controls` under its old name, until 1.0."""

from data.command import run_moved

if __name__ == "__main__":
    run_moved("textgan.controls", "textgan.suite", "controls")
