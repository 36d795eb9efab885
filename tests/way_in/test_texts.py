"""Generated files, names, places and flags: a score counts the lines of a file, or a message refuses the file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import readers
from tests.helpers.way_in.contents import situations
from tests.helpers.way_in.texts import a_report, a_score, check_report, check_score
from tests.helpers.way_in.workshop import Runner, workshop


@pytest.mark.fuzz
@situations(900, 12)
@given(data=st.data())
def test_a_score_counts_the_lines_of_the_file(saved_counts: None, here: Runner, data: st.DataObject) -> None:
    with workshop() as shop, pytest.MonkeyPatch.context() as patch:
        module, arguments, content, output, fine = data.draw(a_score(shop))
        patch.setattr(readers, "_BLOCK_BYTES", data.draw(st.sampled_from([1 << 23, 1, 2, 3, 7, 64])))
        outcome = here(shop, module, arguments)
        check_score(outcome, content, arguments, output, fine)
        if outcome.status == 0 and output == "json" and arguments[0] not in arguments[1:]:
            # Neither place, nor container, nor line ends, nor blocks change what is scored.
            patch.undo()
            text = "\ufeff" + "".join(f"{line}\n" for line in content.lines or ())
            (shop.folder / "unpacked").write_text(text, "utf-8", newline="")
            assert here(shop, module, ["unpacked", *arguments[1:]]).out == outcome.out


@pytest.mark.fuzz
@situations(350, 6)
@given(data=st.data())
def test_a_report_counts_the_lines_of_its_files(saved_counts: None, here: Runner, data: st.DataObject) -> None:
    with workshop() as shop:
        files, arguments, contents, output, fine = data.draw(a_report(shop))
        check_report(here(shop, "eval.report", arguments), files, arguments, contents, output, fine)
