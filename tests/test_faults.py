"""The list of deliberate faults is kept alive: `make faults` tries them all, which takes minutes."""

from pathlib import Path

import pytest

from tests.faults import FAULTS, ROOT, Fault, caught, chosen, copied, find


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_source_stands_in_the_code_and_each_fault_is_code(fault: Fault) -> None:
    text = find(fault)
    compile(text.replace(fault.source, fault.fault), fault.file, "exec")
    assert fault.fault != fault.source
    for tests in fault.tests.split():
        file, _, name = tests.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text() if name else (ROOT / file).is_file()


def test_each_name_is_given_once() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_a_source_that_is_gone_or_stands_twice_is_said() -> None:
    fault = FAULTS[0]
    for source, times in (("nobody wrote this", 0), ("supervised = ", 2)):
        with pytest.raises(ValueError, match=rf"found '{source}' {times} times in cleser/recipes"):
            find(fault._replace(source=source))
    with pytest.raises(ValueError, match=r"bring tests/faults\.py up to date"):
        find(fault._replace(file="nowhere.py"))


def test_some_are_chosen() -> None:
    assert {fault.file for fault in chosen("dann", quick=False)} == {"recipes/adaptation.py"}
    parts = [fault.file.split("/")[0] for fault in chosen("", quick=True)]
    assert len(parts) == len(set(parts))
    assert {"recipes", "losses", "graphs", "anchors", "models", "evaluation", "speech"} <= set(
        parts
    )


@pytest.mark.slow
def test_a_fault_is_caught_and_what_is_none_is_not(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    fault = next(fault for fault in FAULTS if fault.name == "recall is precision")
    fault = fault._replace(tests=f"{fault.tests}::test_nothing_is_nan_and_not_a_number_of_luck")
    assert caught(fault, copy)
    assert not caught(fault._replace(fault=f"{fault.source} + 0"), copy)
    find(fault, copy)  # the copy is as before
    with pytest.raises(RuntimeError, match="cannot run"):
        caught(fault._replace(tests="tests/no_such_file.py"), copy)
