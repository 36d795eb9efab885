import json
import math

import pytest

from eval.core.score import Estimate, Score, Signature, show, upgraded, with_floor

BY_SPACE = "words:whitespace|case:as-is"
SIGNATURE = Signature("toy", {"n": 2, "ref": "text@0123"})


def a_score(**values: Estimate) -> Score:
    return Score("toy", values, "bits", "lower", 1234, "text (5,678 lines)", SIGNATURE)


def test_a_signature_is_metric_settings_and_version_in_order() -> None:
    assert str(SIGNATURE) == "toy|n:2|ref:text@0123|v:1"
    assert str(Signature("toy", {"ref": "text@0123", "n": 2})) != str(SIGNATURE)


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("jsd|n:6|sym:char|ref:a.txt@0123|samples:640|v:0.1.0", "jsd|n:6|sym:char|ref:a.txt@0123|samples:640|v:1"),
        ("fid|ref:a; b|c@0123|samples:9|v:0.1.0", "fid|ref:a; b|c@0123|samples:9|v:1"),
        ("bleu|sym:word|n:5|ref:v:0.1.0|samples:9|v:0.1.0", f"bleu|sym:word|n:5|ref:v:0.1.0|samples:9|{BY_SPACE}|v:1"),
        (
            "word-jsd|sym:word|n:4|samples:9|v:0.1.0; self-bleu|n:5|sym:word|samples:9|v:0.1.0",
            f"word-jsd|sym:word|n:4|samples:9|{BY_SPACE}|v:1; self-bleu|n:5|sym:word|samples:9|{BY_SPACE}|v:1",
        ),
        ("jsd|sym:char|v:2", "jsd|sym:char|v:2"),
        ("jsd|sym:char|v:1; bleu|sym:word|words:punctuation|case:lower|v:3", None),
        ("", None),
        ("s", None),
    ],
)
def test_a_recorded_signature_is_read_as_written_now(recorded: str, expected: str | None) -> None:
    assert upgraded(recorded) == (recorded if expected is None else expected)
    assert upgraded(upgraded(recorded)) == upgraded(recorded)


def test_a_new_definition_of_a_metric_is_another_version() -> None:
    assert str(Signature("toy", {"n": 2}, version=2)) == "toy|n:2|v:2"


def test_json_holds_all_and_null_for_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    score = a_score(a=Estimate(0.1, 0.0, 0.2, 0.05, 0.01), b=Estimate(0.3))
    show([score, score], "json")
    expected = {
        "metric": "toy",
        "scores": {
            "a": {"value": 0.1, "low": 0.0, "high": 0.2, "corrected": 0.05, "floor": 0.01},
            "b": {"value": 0.3, "low": None, "high": None, "corrected": None, "floor": None},
        },
        "unit": "bits",
        "better": "lower",
        "samples": 1234,
        "reference": "text (5,678 lines)",
        "signature": "toy|n:2|ref:text@0123|v:1",
    }
    assert json.loads(capsys.readouterr().out) == [expected, expected]


def test_no_number_is_ever_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        show([a_score(a=Estimate(math.nan))], "json")


def test_a_table_shows_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    show([a_score(**{"toy-1": Estimate(0.0, 0.0, 0.0125, floor=0.0), "toy-12": Estimate(12.34567)})], "text")
    assert capsys.readouterr().out.splitlines() == [
        "toy of 1,234 samples against text (5,678 lines), lower is better",
        "",
        "          value     95 % interval   floor",
        "toy-1    0.0000  0.0000 .. 0.0125  0.0000",
        "toy-12  12.3457                 -       -",
        "",
        str(SIGNATURE),
    ]


def test_a_table_has_columns_for_corrected_value_and_floor_in_this_order(capsys: pytest.CaptureFixture[str]) -> None:
    show([a_score(toy=Estimate(0.5, 0.25, 0.75, corrected=0.375, floor=0.125))], "text")
    assert capsys.readouterr().out.splitlines()[2:4] == [
        "      value     95 % interval  corrected   floor",
        "toy  0.5000  0.2500 .. 0.7500     0.3750  0.1250",
    ]


def test_a_floor_is_the_value_of_real_text_and_nothing_else_of_it() -> None:
    ours = a_score(a=Estimate(0.5, 0.4, 0.6, 0.45), b=Estimate(0.7))
    real = a_score(b=Estimate(0.2, 0.1, 0.3), a=Estimate(0.1, 0.05, 0.15, 0.08))
    found = with_floor(ours, real)
    assert found.values == {"a": Estimate(0.5, 0.4, 0.6, 0.45, 0.1), "b": Estimate(0.7, floor=0.2)}
    assert ours.values["a"].floor is None  # the score itself is as it was
    assert (found.metric, found.samples, found.signature) == (ours.metric, ours.samples, ours.signature)
