"""Generated outputs and submissions: files and records are whole, or not there."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.way_in.contents import situations
from tests.helpers.way_in.records import a_sampling, a_submission, lines_in
from tests.helpers.way_in.workshop import Runner, Workshop, workshop


@pytest.mark.fuzz
@situations(250, 6)
@given(data=st.data())
def test_samples_are_as_many_as_asked_for(a_run: Path, here: Runner, data: st.DataObject) -> None:
    with workshop() as shop:
        arguments, output, count = data.draw(a_sampling(shop, a_run))
        before = set(a_run.rglob("*"))
        contents = {path: path.read_bytes() for path in shop.files() if path.is_file()}
        outcome = here(shop, "textgan.sample", arguments)
        assert set(a_run.rglob("*")) == before
        if outcome.status:
            assert {path: path.read_bytes() for path in shop.files() if path.is_file()} == contents
        elif output is not None:
            assert lines_in(output) == count
            if output.suffix == ".txt":
                assert run_json(here, shop, output) == count
        elif "--export" not in arguments:
            assert outcome.out.count("\n") == (1 if "/dev/null" in arguments else count)


def run_json(here: Runner, shop: Workshop, samples: Path) -> int:
    outcome = here(shop, "eval.jsd", [str(samples), "--json"])
    return json.loads(outcome.out)[0]["samples"] if outcome.status == 0 else -1


@pytest.mark.fuzz
@situations(150, 4)
@given(data=st.data())
def test_a_record_is_whole_or_not_there(here: Runner, data: st.DataObject) -> None:
    with workshop() as shop:
        arguments, content = data.draw(a_submission(shop))
        outcome = here(shop, "leaderboards.submit", arguments)
        if outcome.status == 0:
            assert content.lines is not None
            (record,) = (shop.folder / "records").glob("*/*/record.json")
            signature = json.loads(record.read_text("utf-8"))["signature"]
            assert set(re.findall(r"[|]samples:(\d+)[|]", signature)) == {str(len(content.lines))}
            if "--hash-only" not in arguments:
                verified = here(shop, "leaderboards.verify", ["records", "--reference", "reference/real.txt"])
                assert verified.out.startswith("passed"), (verified, arguments)
