from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler as SessionGroups
from tensorboard.summary.writer import event_file_writer

from data.errors import InputError
from tests.helpers.runs import stop_at
from textgan.engine.run_folder import read_metrics, read_options
from textgan.engine.run_log import locked
from textgan.models.wgan_gp import WganGpSettings
from textgan.runs.executors import is_finished
from textgan.train import train


def test_tensorboard_reads_the_training_clock(finished: WganGpSettings) -> None:
    folder = finished.folder
    rows = read_metrics(folder)
    events = EventAccumulator(str(folder)).Reload()
    scalars = events.Scalars("scores/jsd_4")
    assert [event.step for event in scalars] == [row["iteration"] for row in rows]
    assert [event.value for event in scalars] == pytest.approx([row["scores/jsd_4"] for row in rows], rel=1e-6)
    started = read_options(folder)["started"]
    clock = [event.wall_time - started for event in scalars]
    assert clock == pytest.approx([row["time/train_seconds"] for row in rows], abs=1e-3)
    (text,) = events.Tensors("samples/text_summary")[-1].tensor_proto.string_val
    first = (folder / "samples" / "8.txt").read_text("utf-8").split("\n")[0]
    assert first in text.decode()
    # The scores of real data are a run of their own with the same tags, so that they are a line in the same charts.
    floor = read_options(folder)["floor"]
    real = EventAccumulator(str(folder / "real data")).Reload()
    assert real.Tags()["scalars"] == [f"scores/jsd_{n}" for n in (1, 2, 3, 4)]
    drawn = real.Scalars("scores/jsd_4")
    assert [event.value for event in drawn] == pytest.approx([floor["jsd_4"]] * len(rows))
    assert [(event.step, event.wall_time) for event in drawn] == [(each.step, each.wall_time) for each in scalars]


def test_the_first_charts_are_the_scores(tiny: WganGpSettings) -> None:
    events = EventAccumulator(str(train(replace(tiny, ngram=6)).folder)).Reload()
    tags = events.Tags()["scalars"]
    assert sorted({tag.partition("/")[0] for tag in tags}) == ["scores", "time", "train"]  # as TensorBoard sorts them
    assert "scores/jsd_6" in tags
    layout = layout_pb2.Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    (category,) = layout.category
    assert [(chart.title, list(chart.multiline.tag)) for chart in category.chart] == [
        ("JSD-4", ["scores/jsd_4"]),
        ("JSD-6", ["scores/jsd_6"]),
    ]


def test_tensorboard_groups_runs_that_differ_in_their_seed(tiny: WganGpSettings, tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    for name, change in (("a0", {}), ("a1", {"seed": 1}), ("b0", {"critic_lr": 1e-3})):
        train(replace(tiny, run_dir=suite / name, iterations=6, **change))
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(suite))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(suite))
    context = Context(TBContext(data_provider=provider, logdir=str(suite)))
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=10,
        allowed_statuses=[api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_RUNNING, api_pb2.STATUS_SUCCESS],
    )
    response = SessionGroups(RequestContext(), context, "", request).run()
    groups = {
        tuple(sorted(session.name for session in group.sessions)): group.hparams for group in response.session_groups
    }
    assert groups.keys() == {("a0", "a1"), ("b0",)}
    for names, hparams in groups.items():
        assert hparams["critic_lr"].number_value == (3e-3 if "a0" in names else 1e-3)
        assert hparams["preset"].string_value == "ttur"
        assert "seed" not in hparams


def test_tensorboard_forgets_what_is_made_again(tiny: WganGpSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> None:
        raise RuntimeError("crash")

    # Files are read in the order of their names: second, process, and a counter, which must not go from 9 to 10 here.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))
    for iteration in (3, 7):  # before the first checkpoint, at 4, and after it
        with monkeypatch.context() as patch:
            stop_at(patch, iteration, crash)
            with pytest.raises(RuntimeError, match="crash"):
                train(tiny)
    train(tiny)
    events = EventAccumulator(str(tiny.folder)).Reload()
    assert [event.step for event in events.Scalars("scores/jsd_4")] == [0, 2, 4, 6, 8]
    real = EventAccumulator(str(tiny.folder / "real data")).Reload()
    assert [event.step for event in real.Scalars("scores/jsd_4")] == [0, 2, 4, 6, 8]


def test_two_processes_cannot_train_in_one_folder(tiny: WganGpSettings) -> None:
    with locked(tiny.folder), pytest.raises(InputError, match="another process is training there"):
        train(tiny)
    assert train(tiny).stopped_by is None


def test_a_larger_budget_is_not_finished_before_it_is_used(
    finished: WganGpSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finished.iterations is not None
    larger = replace(finished, iterations=finished.iterations + 2)
    monkeypatch.setattr("textgan.engine.loop.RunLog", None)  # ends after the options are written
    with pytest.raises(TypeError):
        train(larger)
    assert read_options(finished.folder)["config"]["iterations"] == larger.iterations
    assert not is_finished(larger)
    monkeypatch.undo()
    train(larger)
    assert is_finished(larger)
