"""The old name of `python -m images.suite controls`, kept until 1.0."""

from data.command import run_moved

if __name__ == "__main__":
    run_moved("images.controls", "images.suite", "controls")
