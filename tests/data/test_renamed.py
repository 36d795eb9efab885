import pytest

from data.renamed import current_arguments, current_settings


@pytest.mark.parametrize(
    ("prog", "old", "new", "note"),
    [
        ("textgan.train", ["--generator-average", "0.9"], ["--generator-ema", "0.9"], "--generator-average"),
        ("textgan.train", ["--generator_average=0.9"], ["--generator-ema=0.9"], "--generator_average"),
        ("images.train", ["--faults", "paper-compat"], ["--compat", "paper"], "--faults"),
        ("images.train", ["--faults=paper-compat"], ["--compat=paper"], "--faults"),
        ("textgan.compare", ["runs", "--points", "9"], ["runs", "--windows", "9"], "--points"),
        ("textgan.compare", ["--level=0.5"], ["--target=0.5"], "--level"),
        ("textgan.search", ["--points", "9", "--keep", "2"], ["--grid-size", "9", "--reduction-factor", "2"], "--keep"),
        ("eval.disturb", ["--other", "a.npz"], ["--contaminate-with", "a.npz"], "--other"),
    ],
)
def test_an_old_flag_is_the_new_one_with_a_note(
    prog: str, old: list[str], new: list[str], note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert current_arguments(prog, old) == new
    renamed = next(word for word in new[::-1] if word.startswith("--")).partition("=")[0]
    assert f"note: {note} is now {renamed}\n" in capsys.readouterr().err
    assert current_arguments(prog, new) == new
    assert capsys.readouterr().err == ""


def test_old_values_of_flags_that_kept_their_names() -> None:
    for old, new in ((["--model", "lstm"], ["--model", "mle"]), (["--compat=paper-compat"], ["--compat=paper"])):
        assert current_arguments("images.train", old) == new
    assert current_arguments("images.train", ["--data", "lstm"]) == ["--data", "lstm"]


def test_an_old_flag_of_another_command_stays(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--level", "word", "--points", "3", "--keep", "paper-compat"]
    assert current_arguments("eval.jsd", arguments) == arguments
    assert capsys.readouterr().err == ""


def test_settings_of_files_have_new_names_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    old = {"generator_average": 0.9, "faults": "paper-compat", "data": "paper-compat", "points": 3}
    new = {"generator_ema": 0.9, "compat": "paper", "data": "paper-compat", "points": 3}
    assert current_settings(old) == new
    assert capsys.readouterr().err == ""
    assert current_settings(old, told=True) == new
    assert capsys.readouterr().err == (
        "note: setting generator_average is now generator_ema\nnote: setting faults is now compat\n"
    )
    assert current_settings(new) == new
