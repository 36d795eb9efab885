"""Generated situations of commands as processes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.paths import ROOT
from tests.helpers.way_in.contents import situations
from tests.helpers.way_in.images import a_distance
from tests.helpers.way_in.records import a_sampling, a_submission, lines_in
from tests.helpers.way_in.texts import a_report, a_score, check_report, check_score
from tests.helpers.way_in.workshop import as_process, counts, workshop


@pytest.mark.slow
@pytest.mark.fuzz
@situations(50, 3)
@given(data=st.data())
def test_processes_do_the_same(
    saved_counts: None, a_run: Path, data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    odd = data.draw(st.booleans())
    for name, value in ascii_locale.items():
        monkeypatch.setenv(name, value if odd else "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with workshop() as shop:
        command = data.draw(
            st.sampled_from(["score", "score", "score", "report", "distance", "sampling", "submission"])
        )
        if command == "score":
            module, arguments, content, output, fine = data.draw(a_score(shop))
            check_score(as_process(shop, module, arguments), content, arguments, output, fine)
        elif command == "report":
            files, arguments, contents, output, fine = data.draw(a_report(shop))
            check_report(as_process(shop, "eval.report", arguments), files, arguments, contents, output, fine)
        elif command == "distance":
            arguments, number, output, _ = data.draw(a_distance(shop))
            outcome = as_process(shop, "eval.fid", arguments)
            assert outcome.status or counts(outcome, output) == {number}
        elif command == "sampling":
            arguments, written, count = data.draw(a_sampling(shop, a_run))
            outcome = as_process(shop, "textgan.sample", arguments)
            assert outcome.status or written is None or lines_in(written) == count
        else:
            arguments, content = data.draw(a_submission(shop))
            assert as_process(shop, "leaderboards.submit", arguments).status or content.lines is not None
