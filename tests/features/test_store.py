"""The store against dictionaries of arrays, and against kills and damage."""

import json
import multiprocessing
import os
import pickle
import resource
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.speech import PooledStore, StoreSettings, utterance_key

SETTINGS = StoreSettings("tiny@1", layers=(0, 3, 7), dim=4, pooling="phones mean", dtype="float32")


def key_of(number):
    return utterance_key(f"recording {number}")


def make(number, settings=SETTINGS, rows=None):
    """Values, times and labels that follow from the number."""
    draw = np.random.default_rng(number)
    rows = int(draw.integers(0, 9)) if rows is None else rows
    values = draw.standard_normal((rows, len(settings.layers), settings.dim)).astype(np.float32)
    times = np.sort(draw.random((rows, 2)).astype(np.float32))
    return values, times, [f"ə{number}" for _ in range(rows)]


def fill(store, numbers, worker="a"):
    with store.writer(worker) as writer:
        for number in numbers:
            values, times, labels = make(number, store.settings)
            writer.add(key_of(number), values, times=times, labels=labels)
    store.refresh()


def check(store, numbers):
    """Everything in the store is what was made, and nothing else is there."""
    assert sorted(store) == sorted(key_of(n) for n in numbers)
    for number in numbers:
        key, (values, times, labels) = key_of(number), make(number, store.settings)
        np.testing.assert_array_equal(store[key], values)
        np.testing.assert_array_equal(store.times(key), times)
        assert store.labels(key) == labels
    assert store.verify() == []


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_full_disk_is_said_of_the_shard_and_what_was_whole_stays(tmp_path):
    store = PooledStore.create(tmp_path / "store", SETTINGS)
    fill(store, [1], "a")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with store.writer("a") as writer, pytest.raises(OSError, match="shard-a"):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))  # as if the disk ended here
            writer.add(key_of(2), np.ones((500, 3, 4)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.refresh()
    check(store, [1])


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 1000), max_size=12, unique=True),
    asked=st.lists(st.integers(0, 11), max_size=8),
    layers=st.lists(st.sampled_from((0, 3, 7)), min_size=1, max_size=3, unique=True),
)
def test_what_was_written_is_read(tmp_path_factory, numbers, asked, layers):
    store = PooledStore.create(tmp_path_factory.mktemp("store"), SETTINGS)
    fill(store, numbers[::2], "a")
    fill(store, numbers[1::2], "b")
    check(store, numbers)
    asked = [numbers[i] for i in asked if i < len(numbers)]
    values, offsets = store.batch([key_of(n) for n in asked], layers=layers)
    places = [SETTINGS.layers.index(layer) for layer in layers]
    made = [make(n)[0][:, places] for n in asked]
    expected = np.concatenate([np.empty((0, len(layers), 4), np.float32), *made])
    np.testing.assert_array_equal(values, expected)
    assert offsets.tolist() == [0, *np.cumsum([len(m) for m in made])]
    assert store.rows([key_of(n) for n in asked]).tolist() == [len(m) for m in made]
    assert store.nbytes == sum(make(n)[0].nbytes for n in numbers)


def test_a_value_is_a_view_that_cannot_reach_the_file(tmp_path):
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, range(4, 8))
    key = key_of(5)
    assert store[key].data_ptr() == store[key].data_ptr()
    assert store[key].data_ptr() % 64 == 0
    before = contents(tmp_path)
    store[key].zero_()
    assert contents(tmp_path) == before
    check(PooledStore.open(tmp_path), range(4, 8))


def test_half_precision_rounds_once_and_refuses_what_it_cannot_hold(tmp_path):
    half = StoreSettings("tiny@1", (0,), 2, "mean")
    store = PooledStore.create(tmp_path, half)
    values = torch.tensor([[[0.1, -65504.0]]], dtype=torch.float64)
    with store.writer(0) as writer:
        assert writer.add(key_of(0), values)
        assert writer.add(key_of(1), values.bfloat16() / 2)
        for bad in (1e6, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=rf"{key_of(2)}: .*±65504.*float16"):
                writer.add(key_of(2), values * bad)
    store.refresh()
    assert store[key_of(0)].dtype == torch.float16
    torch.testing.assert_close(store[key_of(0)], values.half(), rtol=0, atol=0)
    assert store.batch([key_of(1)], dtype=torch.float32).values.dtype == torch.float32
    assert len(store) == 2


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks Linux what is mapped")
def test_released_pages_are_no_longer_this_process_s_and_come_back(tmp_path):
    store = PooledStore.create(tmp_path, StoreSettings("tiny@1", (0,), 1 << 18, "mean"))
    with store.writer(0) as writer:
        for number in range(8):
            writer.add(key_of(number), np.full((4, 1, 1 << 18), number))
    store.refresh()

    def mapped():
        text = Path("/proc/self/smaps").read_text().split(".bin\n", 1)[1]
        return int(text.split("Rss:", 1)[1].split()[0]) * 1024

    view = store[key_of(5)]
    total = sum(store[key].float().sum().item() for key in store)
    assert mapped() >= store.nbytes
    store.release()
    assert mapped() < store.nbytes / 8
    assert view.float().mean().item() == 5
    assert sum(store[key].float().sum().item() for key in store) == total


def test_frames_are_kept_with_the_rows_and_after_a_merge(tmp_path):
    store = PooledStore.create(tmp_path, SETTINGS)
    made = {key_of(n): make(n) for n in range(6)}
    with store.writer("a") as writer:
        for number, (key, (values, times, labels)) in enumerate(made.items()):
            counts = np.arange(len(values)) + number
            writer.add(key, values, times=times, frames=counts, labels=labels)
        with pytest.raises(ValueError, match=r"frames have shape \[1\], expected \[2\]"):
            writer.add(key_of(7), np.ones((2, 3, 4)), frames=[1])
    for _ in range(2):
        store.refresh()
        for number, (key, (values, times, labels)) in enumerate(made.items()):
            assert store.frames(key).tolist() == [number + i for i in range(len(values))]
            np.testing.assert_array_equal(store.times(key), times)
            assert store.labels(key) == labels
        store.merge()


def test_a_store_of_another_format_is_refused_and_not_misread(tmp_path):
    PooledStore.create(tmp_path, SETTINGS)
    path = tmp_path / "settings.json"
    kept = json.loads(path.read_text())
    assert kept.pop("format") == 2
    path.write_text(json.dumps(kept))
    for way in (PooledStore.open, lambda folder: PooledStore.create(folder, SETTINGS)):
        with pytest.raises(ValueError, match="found a store of format 1, expected 2: extract anew"):
            way(tmp_path)
    path.write_text(json.dumps({**kept, "format": 3, "new": 1}))
    with pytest.raises(ValueError, match="found a store of format 3, expected 2: extract anew"):
        PooledStore.open(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"), [("", "holds no JSON"), ("[]", r"holds \[\]"), ("{", "holds no JSON")]
)
def test_settings_that_are_none_are_named(tmp_path, text, said):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(ValueError, match=f"{said}, expected the settings of a store"):
        PooledStore.open(tmp_path)


@pytest.mark.parametrize("how", [{}, {"layers": [7, 0]}, {"dtype": torch.float64}])
def test_a_batch_may_take_the_place_of_the_one_before(tmp_path, how):
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, range(12))
    keys = [key_of(n) for n in (5, 3, 8, 3, 11)]
    expected = store.batch(keys, **how)
    layers, kind = len(how.get("layers", SETTINGS.layers)), how.get("dtype", torch.float32)
    kept = torch.full((len(expected.values) + 2, layers, 4), -1, dtype=kind)
    found = store.batch(keys, out=kept, **how)
    assert found.values.data_ptr() == kept.data_ptr()
    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.offsets, expected.offsets)
    assert (kept[-2:] == -1).all()
    for wrong in (kept[: len(expected.values) - 1], kept[:, :1], kept.half(), kept[0]):
        with pytest.raises(
            ValueError, match=rf"expected \[{len(expected.values)}, {layers}, 4\] or more rows"
        ):
            store.batch(keys, out=wrong, **how)


def test_what_is_left_to_do(tmp_path):
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, [1, 2])
    asked = [key_of(n) for n in (3, 2, 0, 3, 1)]
    assert store.missing(asked) == [key_of(3), key_of(0)]
    assert key_of(1) in store
    assert key_of(3) not in store
    with store.writer("b") as writer:
        values, _, _ = make(1)
        assert not writer.add(key_of(1), values)
        assert writer.add(key_of(3), make(3)[0])
        assert not writer.add(key_of(3), make(3)[0])
    assert len(store) == 2  # as it was when opened
    store.refresh()
    assert len(store) == 3
    assert torch.isnan(store.times(key_of(3))).all()
    assert store.labels(key_of(3)) == []


def test_an_empty_store(tmp_path):
    store = PooledStore.create(tmp_path / "deep" / "er", SETTINGS)
    assert len(store) == 0
    assert list(store) == store.verify() == []
    values, offsets = store.batch([])
    assert values.shape == (0, 3, 4)
    assert offsets.tolist() == [0]
    store.merge()
    assert len(PooledStore.open(tmp_path / "deep" / "er")) == 0


def test_errors_say_what_was_found(tmp_path):
    with pytest.raises(ValueError, match=r"settings\.json: not found"):
        PooledStore.open(tmp_path)
    store = PooledStore.create(tmp_path, SETTINGS)
    other = StoreSettings("tiny@2", SETTINGS.layers, 4, "phones mean", "float32")
    assert other.identity != SETTINGS.identity
    with pytest.raises(ValueError, match="backbone 'tiny@1', expected 'tiny@2'"):
        PooledStore.create(tmp_path, other)
    with pytest.raises(KeyError, match="no utterance 'abc' among its 0"):
        store["abc"]
    fill(store, [4])
    with pytest.raises(ValueError, match=r"no layer 1, expected of \[0, 3, 7\]"):
        store.batch([key_of(4)], layers=[1])
    with store.writer("a") as writer:
        with pytest.raises(ValueError, match="'utterance 1', expected 32 hexadecimal"):
            writer.add("utterance 1", make(1)[0])
        with pytest.raises(ValueError, match=r"shape \[2, 4, 3\], expected \[S, 3, 4\]"):
            writer.add(key_of(1), np.zeros((2, 4, 3)))
        with pytest.raises(ValueError, match=r"times have shape \[1, 2\], expected \[2, 2\]"):
            writer.add(key_of(1), np.zeros((2, 3, 4)), times=[[0, 1]])
        with pytest.raises(ValueError, match="1 labels, expected one for each of 2 rows"):
            writer.add(key_of(1), np.zeros((2, 3, 4)), labels=["a"])
        with pytest.raises(ValueError, match="line breaks"):
            writer.add(key_of(1), np.zeros((1, 3, 4)), labels=["a\nb"])
        with pytest.raises(BlockingIOError, match="a name of its own for each worker"):
            store.writer("a")
    for name in ("", "a/b", "merged-0"):
        with pytest.raises(ValueError, match="worker is"):
            store.writer(name)
    (tmp_path / "settings.json").write_text('{"format": 2, "layers": [0]}')
    with pytest.raises(ValueError, match="expected the settings of a store"):
        PooledStore.open(tmp_path)
    for broken in ({"layers": ()}, {"layers": (1, 1)}, {"dim": 0}, {"dtype": "int8"}):
        given_ = {"backbone": "b", "layers": (0,), "dim": 1, "pooling": "mean"} | broken
        with pytest.raises(ValueError, match=next(iter(broken))):
            StoreSettings(**given_)


def test_an_index_cut_at_any_byte_loses_that_record_alone(tmp_path):
    whole = PooledStore.create(tmp_path / "whole", SETTINGS)
    fill(whole, [4, 5, 6])
    index = (tmp_path / "whole" / "shard-a.idx").read_bytes()
    data = (tmp_path / "whole" / "shard-a.bin").read_bytes()
    size = len(index) // 3
    for cut in range(len(index)):
        torn = PooledStore.create(tmp_path / f"torn{cut}", SETTINGS)
        (torn.folder / "shard-a.idx").write_bytes(index[:cut])
        (torn.folder / "shard-a.bin").write_bytes(data)
        torn.refresh()
        check(torn, [4, 5, 6][: cut // size])
        fill(torn, [4, 5, 6])
        assert contents(torn.folder) == contents(whole.folder)


def test_data_that_never_reached_the_disk_is_made_again(tmp_path):
    whole = PooledStore.create(tmp_path / "whole", SETTINGS)
    fill(whole, [4, 5, 6])
    data = (tmp_path / "whole" / "shard-a.bin").read_bytes()
    index = (tmp_path / "whole" / "shard-a.idx").read_bytes()
    for cut in range(0, len(data), 32):
        torn = PooledStore.create(tmp_path / f"torn{cut}", SETTINGS)
        (torn.folder / "shard-a.idx").write_bytes(index)
        (torn.folder / "shard-a.bin").write_bytes(data[:cut])
        torn.refresh()
        assert len(torn) < 3
        fill(torn, [4, 5, 6])
        assert contents(torn.folder) == contents(whole.folder)


def test_damage_is_found(tmp_path):
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, [4, 5, 6])
    path = tmp_path / "shard-a.bin"
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1
    path.write_bytes(raw)
    assert PooledStore.open(tmp_path).verify() == [key_of(4)]
    path = tmp_path / "shard-a.idx"
    raw = bytearray(path.read_bytes())
    raw[70] ^= 1  # in the second record
    path.write_bytes(raw)
    store.refresh()
    assert sorted(store) == sorted([key_of(4), key_of(6)])
    fill(store, [5])
    np.testing.assert_array_equal(store[key_of(5)], make(5)[0])
    np.testing.assert_array_equal(store[key_of(6)], make(6)[0])


def test_what_is_broken_is_forgotten_and_made_again(tmp_path):
    """In whichever shard it lies; the others stay, and nobody may be writing meanwhile."""
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, [4, 5, 6])
    fill(store, [7, 8], worker="b")
    for name in ("a", "b"):
        path = tmp_path / f"shard-{name}.bin"
        raw = bytearray(path.read_bytes())
        raw[0] ^= 1  # of the first that each wrote
        path.write_bytes(raw)
    store = PooledStore.open(tmp_path)
    broken = store.verify()
    assert sorted(broken) == sorted(map(key_of, (4, 7)))
    with store.writer("b"), pytest.raises(BlockingIOError, match=r"shard-b"):
        store.discard(broken)
    store.discard(broken)
    assert store.missing(map(key_of, (4, 5, 6, 7, 8))) == [key_of(4), key_of(7)]
    check(store, [5, 6, 8])
    fill(store, [4, 7])
    store = PooledStore.open(tmp_path)
    check(store, [4, 5, 6, 7, 8])


def test_merging_gives_the_same_bytes_whoever_wrote(tmp_path):
    one = PooledStore.create(tmp_path / "one", SETTINGS)
    fill(one, range(10))
    two = PooledStore.create(tmp_path / "two", SETTINGS)
    late = PooledStore.open(tmp_path / "two")
    fill(two, [7, 3, 1, 9])
    fill(late, [0, 2, 3, 4, 5, 6, 8], "b")  # 3 is there twice: this worker could not know
    two.refresh()
    view = two[key_of(3)]
    assert len(two) == 10
    one.merge()
    two.merge()
    assert contents(one.folder) == contents(two.folder)
    assert sorted(contents(one.folder)) == [
        "settings.json",
        "shard-merged-0.bin",
        "shard-merged-0.idx",
    ]
    check(two, range(10))
    np.testing.assert_array_equal(view, make(3)[0])  # what was mapped before stays
    fill(two, [10, 11])
    two.merge()
    check(two, range(12))
    assert len(list(two.folder.glob("*.bin"))) == 1


def test_merging_waits_for_no_one(tmp_path):
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, [4])
    with store.writer("a") as writer:
        with pytest.raises(BlockingIOError):
            store.merge()
        writer.add(key_of(5), make(5)[0])
    store.merge()
    assert len(store) == 2


def test_a_merge_killed_before_the_old_shards_are_gone(tmp_path):
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, range(5))
    old = contents(tmp_path)
    store.merge()
    for name, raw in old.items():
        (tmp_path / name).write_bytes(raw)
    store.refresh()
    check(store, range(5))
    store.merge()
    check(store, range(5))
    assert len(list(tmp_path.glob("*.bin"))) == 1


def test_threads_write_and_another_process_reads(tmp_path):
    store = PooledStore.create(tmp_path, SETTINGS)
    threads = [
        threading.Thread(target=fill, args=(PooledStore.open(tmp_path), range(n, 60, 3), n))
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.refresh()
    check(store, range(60))
    copied = pickle.loads(pickle.dumps(store))  # as a data loader's worker gets it
    check(copied, range(60))


BIG = StoreSettings("tiny@1", tuple(range(5)), 512, "phones mean", "float16")
# A worker adds at most its share before it is killed: 20 · 2 · 8 < 400.
N_KILLED, N_KILLS, SHARE = 400, 20, 8


def work(folder, worker, numbers, *, share=N_KILLED, added=None):
    """Add what is missing, up to a share of it, saying after each that it is done."""
    store = PooledStore.open(folder)
    left = [number for number in numbers if key_of(number) not in store]
    with store.writer(worker) as writer:
        for number in left[:share]:
            values, times, labels = make(number, BIG)
            writer.add(key_of(number), values, times=times, labels=labels)
            if added:
                added()


def work_until_killed(folder, worker, done, goal, delay):
    """Work; the kernel ends the process at a moment after its ``goal``-th utterance, whatever it is doing.

    A timer within the process kills at the same moment on a busy machine as on an idle one; a parent that sends
    the signal comes late where processors are taken. Without a handler SIGALRM ends a process as SIGKILL does.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def added():
        done.value += 1  # no lock, with which the process might die
        if done.value == goal:
            signal.setitimer(signal.ITIMER_REAL, delay)

    if goal == 0:
        signal.setitimer(signal.ITIMER_REAL, delay)
    work(folder, worker, range(worker, N_KILLED, 2), share=SHARE, added=added)
    signal.pause()  # for who was too quick


@pytest.mark.slow
def test_killed_and_resumed_twenty_times(tmp_path):
    draw = np.random.default_rng(int.from_bytes(os.urandom(4), "little"))
    processes = multiprocessing.get_context("fork")  # nothing has to be imported twenty times
    calm = PooledStore.create(tmp_path / "calm", BIG)
    fill(calm, range(N_KILLED))
    calm.merge()
    store = PooledStore.create(tmp_path / "killed", BIG)
    for _ in range(N_KILLS):
        before = len(store)
        counts = [processes.RawValue("i", 0) for _ in range(2)]
        workers = [
            processes.Process(
                target=work_until_killed,
                args=(
                    store.folder,
                    w,
                    counts[w],
                    int(draw.integers(SHARE)),
                    draw.uniform(1e-5, 0.003),
                ),
            )
            for w in range(2)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            assert worker.exitcode == -signal.SIGALRM
        store.refresh()
        said = before + sum(c.value for c in counts)
        assert said <= len(store) <= said + 2  # what was said to be done is there
        assert store.verify() == []
    assert 0 < len(store) < 2 * SHARE * N_KILLS  # that is: kills fell amid the work
    for worker in range(2):
        work(store.folder, worker, range(worker, N_KILLED, 2))
    store.merge()
    assert contents(store.folder) == contents(calm.folder)


def test_what_is_read_is_what_is_mapped(tmp_path):
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, range(20))
    keys = [key_of(n) for n in (7, 3, 19, 3)]
    for rows in (None, 1, 2, 0):
        values, offsets = store.read(keys, rows=rows)
        first = [view[:rows] for view in store.views(keys)]
        assert torch.equal(values, torch.cat(first)) and values.dtype == store[keys[0]].dtype
        assert offsets.diff().tolist() == [len(view) for view in first]
        frames = [store.frames(key)[:rows] for key in keys]
        assert torch.equal(store.frames_of(keys, rows=rows), torch.cat(frames))
    assert len(store.read([]).values) == 0
    with pytest.raises(KeyError, match=key_of(20)):
        store.read([key_of(20)])


@pytest.mark.parametrize("positional", [True, False])
def test_a_file_that_is_cut_while_it_is_read_is_an_error(tmp_path, monkeypatch, positional):
    if not positional:  # as on Windows, from the map; where the file is whole
        monkeypatch.delattr("os.preadv", raising=False)
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, range(4))
    for number in range(4):
        assert torch.equal(store.read([key_of(number)]).values, store[key_of(number)])
    if positional:
        os.truncate(next(tmp_path.glob("*.bin")), 64)
        with pytest.raises(
            OSError, match=r"shard-a\.bin: found \d+ bytes at \d+, expected \d+: the"
        ):
            store.read([key_of(n) for n in range(4)])


def test_prefetching_changes_nothing_but_time(tmp_path):
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, range(20))
    store.prefetch([key_of(n) for n in range(20)])
    store.prefetch([key_of(n) for n in range(20)], rows=1)
    store.prefetch([])
    check(store, range(20))
    with pytest.raises(KeyError, match=key_of(20)):
        store.prefetch([key_of(20)])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks Linux for its mappings")
def test_what_is_read_is_the_files_memory_and_no_copy(tmp_path):
    """So that several processes that read one store hold it once: no page of it is a process' own."""
    store = PooledStore.create(tmp_path, SETTINGS)
    fill(store, [])
    with store.writer("a") as writer:
        for number in range(4):
            values, times, labels = make(number, rows=2000)
            writer.add(key_of(number), values, times=times, labels=labels)
    opened = PooledStore.open(tmp_path)
    assert sum(float(view.sum()) for view in opened.views([key_of(n) for n in range(4)])) != 0
    read, own, inside = 0, 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if not line.split(" ", 1)[0].endswith(":"):
            inside = str(tmp_path) in line
        elif inside and line.startswith("Rss:"):
            read += int(line.split()[1])
        elif inside and line.startswith("Private_Dirty:"):
            own += int(line.split()[1])
    assert read >= 4 * 2000 * 3 * 4 * 4 // 1024  # kB
    assert own == 0
