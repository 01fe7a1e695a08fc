"""Pages about runs as a browser takes them: well formed, whole, and without a request to anywhere."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from cleser.cli import main
from cleser.evaluation import compare_runs, report, runs_below, site
from cleser.evaluation.answers import answer
from cleser.evaluation.listening import LARGEST, confident_errors
from cleser.evaluation.plots import MOST_SPEAKERS
from cleser.evaluation.results import Run, write_results
from cleser.evaluation.tables import difference_cells
from cleser.experiments.variants import VARIANTS, controls_of
from cleser.settings import to_plain
from tests.evaluation.simulate import CLASSES
from tests.evaluation.test_report import make_run

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
VOID = {"meta", "link", "br", "img", "input", "hr", "source"}


def with_sound(folder, corpus, seconds=0.3, **kwargs):
    """A run whose target can be listened to."""
    make_run(folder, **kwargs)
    rows = pd.read_parquet(folder / "predictions.parquet").drop_duplicates("utterance")
    corpus.mkdir()
    names = [f"{number}.wav" for number in range(len(rows))]
    tone = np.sin(np.arange(round(16000 * seconds)) / 20) / 3
    for name in names:
        soundfile.write(corpus / name, tone, 16000)
    pd.DataFrame(
        {
            "utterance": rows["utterance"], "path": names, "emotion": rows["emotion"],
            "speaker": rows["speaker"], "language": "en", "corpus": "x", "text": "<i>so</i>",
        }
    ).to_csv(corpus / "x.csv", index=False)  # fmt: skip
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    settings["protocol"] = {"source": ["a:a"], "target": [f"manifest:{corpus / 'x.csv'}"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Plain training, self-training and SAPA of one direction, and another direction."""
    root = tmp_path_factory.mktemp("matrix")
    one = root / "a-to-x"
    with_sound(one / "erm", root / "sound")
    make_run(one / "self-training", recipe="sapa", neural=False, hit=0.5, seed=1)
    make_run(one / "sapa", recipe="sapa", hit=0.9, seed=2)
    make_run(root / "b-to-x" / "erm", terms_of={"source": ["b"]}, neural=False, protocol="b" * 12)
    rows = pd.read_parquet(one / "erm" / "predictions.parquet")
    rows = rows.assign(gender=np.where(rows["speaker"].str[-1].isin(list("024")), "female", "male"))
    rows.to_parquet(one / "erm" / "predictions.parquet")
    rows.to_parquet(one / "erm" / "development.parquet")
    write_results(one / "erm", left_out=[{"path": "bad.wav", "reason": "<b>is empty"}])
    return root


@pytest.fixture(scope="module")
def folders(runs):
    return [runs / "a-to-x" / name for name in ("erm", "self-training", "sapa")]


@pytest.fixture(scope="module")
def page(folders):
    out = folders[0].parents[1] / "page.html"
    return report(folders, out, controls=controls_of(folders), listen=3)


class Page(HTMLParser):
    """Fails where an element is closed that is not open, or left open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        self.close()
        assert not [tag for tag in self.open if tag not in ("p", "li")], self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open, self.getpos())
        self.open.pop()


def test_the_page_is_well_formed_and_needs_nothing_but_itself(page):
    text = page.read_text("utf-8")
    found = Page(text)
    for tag, attributes in found.tags:
        for name in ("src", "href", "xlink:href", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
        if tag in ("img", "audio", "svg"):
            assert attributes.get("alt") or attributes.get("aria-label"), tag
        if tag == "script":
            assert not attributes
    outside = [
        u for u in re.findall(r"https?://[\w./-]+", text) if not u.startswith("http://www.w3.org/")
    ]
    assert not outside  # but names of XML namespaces
    assert "url(http" not in text and "@import" not in text
    assert "<i>so" not in text and "&lt;i&gt;so" in text
    assert "<b>is empty" not in text and "&lt;script&gt;alert" in text
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    drawings = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert len(drawings) >= 6
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    for used in re.findall(r'(?:href="#|url\(#)([\w-]+)', text):
        assert used in ids


def test_the_top_says_what_was_asked_and_what_came_out(page, folders):
    top = page.read_text("utf-8").split("<section")[0]
    assert (
        "How well are anger, happiness, neutral and sadness recognised in x (120 utterances" in top
    )
    assert "by what has learned from a (100 utterances" in top
    found = compare_runs(folders[1], folders[2]).differences["uar"]
    assert "sapa has the highest mean of" in top
    assert (
        f"beside its fair control sapa (self-training) that is {100 * found.difference:+.1f}" in top
    )
    assert ("a difference was found" in top) == (found.p < 0.05)
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in top.split("<tr>")]
    kinds = [(r[0], r[1], r[2]) for r in rows if len(r) == 7]
    assert kinds == [
        ("sapa (self-training)", "erm", "first run"),
        ("sapa", "sapa (self-training)", "fair control"),
        ("sapa", "erm", "first run"),
    ]
    cells = next(r for r in rows if len(r) == 7 and r[2] == "fair control")[3:6]
    assert tuple(cells) == difference_cells(found)


def test_a_page_says_when_and_by_what_it_was_made_and_how_figures_were_found(page):
    import cleser

    text = page.read_text("utf-8")
    assert re.search(rf"cleser {re.escape(cleser.__version__)} · written \d{{4}}-\d\d-\d\d", text)
    assert "PCA to 30 dimensions and t-SNE of scikit-learn" in text
    assert "The measure is the unweighted average recall" in text
    assert "UAR of 3 female speakers" in text
    assert "calibration error (ECE) at the source&#39;s temperature" in text


def test_p_values_are_explained_where_there_are_some(page, folders, tmp_path):
    alone = report(folders[:1], tmp_path / "page.html").read_text("utf-8")
    assert "corrected by Holm for the rows" in page.read_text("utf-8")
    assert "Holm" not in alone


def test_what_is_heard_are_the_most_confident_errors(folders, tmp_path):
    rows = pd.read_parquet(folders[0] / "predictions.parquet")
    shares = [f"p_{name}" for name in CLASSES]
    means = rows.groupby("utterance")[shares].mean()
    truth = rows.groupby("utterance")["emotion"].first()
    sure = {
        name: p.max()
        for name, p in means.iterrows()
        if p.idxmax().removeprefix("p_") != truth[name]
    }
    heard, note = confident_errors(Run(folders[0]), 3)
    assert note == ""
    assert [h.confidence for h in heard] == pytest.approx(sorted(sure.values())[::-1][:3])
    assert all(h.truth == truth[h.utterance] != h.predicted and h.audio for h in heard)
    everything, _ = confident_errors(Run(folders[0]), 999)
    assert {h.utterance for h in everything} == set(sure)


def test_sound_is_bounded_and_its_absence_is_said(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("cleser.evaluation.listening.LARGEST", 20_000)
    assert LARGEST > 20_000
    heard, note = confident_errors(Run(folders[0]), 9)
    assert sum(len(h.audio) for h in heard) <= 20_000
    assert note == f"{len(heard)} of 9: more would make the page too large"
    monkeypatch.undo()
    text = report(folders[1:2], tmp_path / "page.html", listen=2).read_text("utf-8")
    assert "The recordings cannot be found any more" in text
    long = with_sound(tmp_path / "run", tmp_path / "long", seconds=13, takes=1, seeds=1)
    heard, _ = confident_errors(Run(long), 1)
    assert heard[0].note == "the first 12 s"


def test_a_matrix_is_a_small_site(runs, capsys):
    assert main(["report", str(runs)]) == 0
    assert "index.html" in capsys.readouterr().out.replace("\n", "")
    index = (runs / "report" / "index.html").read_text("utf-8")
    links = [a["href"] for tag, a in Page(index).tags if tag == "a"]
    assert links == ["a-to-x.html", "b-to-x.html"]
    for link in links:
        Page((runs / "report" / link).read_text("utf-8"))
    first = (runs / "report" / "a-to-x.html").read_text("utf-8")
    assert "fair control" in first.split("<section")[0]
    assert index.count("where chance is 25.0 %") == 2


def test_runs_below_a_folder_are_found_but_not_their_folds(runs, tmp_path):
    found = [str(path.relative_to(runs)) for path in runs_below(runs)]
    assert found == ["a-to-x/erm", "a-to-x/sapa", "a-to-x/self-training", "b-to-x/erm"]
    fold = runs / "a-to-x" / "erm" / "on-b"
    fold.mkdir()
    (fold / "results.json").write_text("{}")
    assert len(runs_below(runs)) == 4
    assert runs_below(runs / "a-to-x" / "erm") == [runs / "a-to-x" / "erm"]
    with pytest.raises(ValueError, match="expected the folder of a finished run or of a matrix"):
        runs_below(tmp_path)
    with pytest.raises(ValueError, match="no runs to report"):
        site([], tmp_path)


def test_controls_are_found_by_name_or_by_settings(runs, tmp_path):
    one = runs / "a-to-x"
    assert controls_of(runs_below(runs)) == {one / "sapa": one / "self-training"}
    for name in ("dann", "erm"):
        folder = make_run(tmp_path / f"my {name}", recipe=name, neural=False)
        settings = yaml.safe_load((folder / "config.yaml").read_text())
        variant = VARIANTS[name]
        terms = {"target_access": "audio", "adapt": "test", "lexical_normalisation": True}
        settings |= {"config": to_plain(variant.config()), "protocol": terms}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    both = [tmp_path / "my dann", tmp_path / "my erm"]
    assert controls_of(both) == {both[0]: both[1]}


def test_a_control_is_trained_alike_and_the_nearest(tmp_path, monkeypatch):
    """Not any run of the direction: beside the run if there is one there, of the same terms in any case."""

    def row(folder, name, config=None, **changes):
        make_run(folder, recipe=name, neural=False, protocol=changes.pop("protocol", "0" * 12))
        settings = yaml.safe_load((folder / "config.yaml").read_text())
        settings |= {"config": config or to_plain(VARIANTS[name].config()), **changes}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        return folder

    coral = row(tmp_path / "one" / "coral", "coral")
    erm = row(tmp_path / "one" / "erm", "erm")
    twin = row(tmp_path / "two" / "erm", "erm")
    assert controls_of([twin, coral, erm, twin]) == {coral: erm}
    assert controls_of([coral, twin]) == {coral: twin}
    (tmp_path / "model").mkdir()  # which older versions wrote as it was given
    monkeypatch.chdir(tmp_path)
    old = row(tmp_path / "old" / "erm", "erm", backbone="model")
    new = row(tmp_path / "old" / "coral", "coral", backbone=str(tmp_path / "model"))
    assert controls_of([new, old]) == {new: old}
    longer = to_plain(VARIANTS["erm"].config())
    longer["training"] |= {"epochs": 99}
    for number, changes in enumerate(
        ({"config": longer}, {"seeds": 9}, {"backbone": "model"}, {"protocol": "1" * 12})
    ):
        other = row(tmp_path / str(number) / "erm", "erm", **changes)
        assert controls_of([coral, other]) == {}


def test_the_answer_is_of_runs_on_like_terms(tmp_path):
    """An oracle is an upper bound, which has the highest mean of course."""
    erm = make_run(tmp_path / "erm", neural=False, hit=0.5)
    sapa = make_run(tmp_path / "sapa", recipe="sapa", neural=False, hit=0.6, seed=1)
    labels = {"target_access": "labels"}
    oracles = [
        make_run(
            tmp_path / f"oracle{n}",
            neural=False,
            hit=0.9,
            seed=n,
            protocol="f" * 12,
            terms_of=labels,
        )
        for n in range(2)
    ]
    said = answer([Run(folder) for folder in (oracles[0], erm, sapa)])
    assert said.startswith("sapa has the highest mean of 2 runs, ")
    assert "; 1 run on other terms cannot be compared with it" in said
    assert "has the highest mean of 2 runs" in answer([Run(folder) for folder in oracles])
    assert answer([Run(oracles[0]), Run(erm)]).startswith("erm reaches ")


def test_directions_of_like_names_have_pages_of_their_own(tmp_path):
    one = make_run(tmp_path / "a" / "erm", terms_of={"source": ["a", "b"]}, neural=False)
    two = make_run(
        tmp_path / "b" / "erm", terms_of={"source": ["a-b"]}, neural=False, protocol="b" * 12
    )
    index = site([one, two], tmp_path / "pages").read_text("utf-8")
    links = [a["href"] for tag, a in Page(index).tags if tag == "a"]
    assert links == ["a-b-to-x.html", "a-b-to-x-2.html"]
    assert "a-b → x" in (tmp_path / "pages" / "a-b-to-x-2.html").read_text("utf-8")


def test_several_runs_need_a_name_for_their_page(folders, capsys):
    assert main(["report", *map(str, folders)]) == 2
    assert "expected --out PAGE.html" in capsys.readouterr().err


def test_many_speakers_are_drawn_at_steps_and_that_is_said(tmp_path):
    folder = make_run(tmp_path / "run", speakers=MOST_SPEAKERS + 30, takes=1, seeds=1, neural=False)
    text = report([folder], tmp_path / "page.html").read_text("utf-8")
    assert (
        f"UAR of each of the {MOST_SPEAKERS + 30} speakers, {MOST_SPEAKERS} of them drawn" in text
    )


PROBE = """<script>
const faults = [];
window.addEventListener("error", (e) => faults.push(String(e.message || e.target.outerHTML)), true);
for (const name of ["error", "warn"]) console[name] = (...said) => faults.push(said.join(" "));
window.addEventListener("load", async () => {
  const loaded = (media) => new Promise((done) => {
    if (media.readyState > 0) return done(media.duration);
    media.addEventListener("loadedmetadata", () => done(media.duration));
    media.addEventListener("error", () => done(0));
    media.load();
  });
  const sounds = await Promise.all([...document.querySelectorAll("audio")].map(loaded));
  const images = [...document.images].map((image) => image.naturalWidth);
  const drawings = [...document.querySelectorAll("svg")].map((svg) => svg.getBoundingClientRect().width);
  const table = document.querySelector("table.sortable");
  const column = () => [...table.rows].slice(1).map((row) => parseFloat(row.cells[1].textContent));
  const sorter = table.rows[0].cells[1].querySelector("button");
  sorter.click();
  const up = column();
  sorter.click();
  const down = column();
  const saved = [];
  HTMLAnchorElement.prototype.click = function () { saved.push([this.download, this.href.slice(0, 20)]); };
  for (const name of ["table", "figure"]) {
    const near = document.querySelector(name);
    (near.querySelector(".save") || near.parentNode.parentNode.querySelector(".save")).click();
  }
  const requests = performance.getEntriesByType("resource").map((r) => r.name).filter((n) => !/^(data|blob):/.test(n));
  const found = { faults, sounds, images, drawings, up, down, saved, requests,
                  wide: document.documentElement.scrollWidth, window: window.innerWidth };
  const said = document.createElement("pre");
  said.id = "probe";
  said.textContent = "PROBE" + JSON.stringify(found) + "END";
  document.body.append(said);
});
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("width", [1280, 500])  # a window of Chromium has 500 points or more
def test_a_browser_finds_no_fault(page, tmp_path, width):
    probed = tmp_path / "page.html"
    probed.write_text(page.read_text("utf-8").replace("<style>", PROBE + "<style>", 1), "utf-8")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900", "--timeout=20000", "--dump-dom", probed.as_uri(),
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    match = re.search(r"PROBE(\{.*?\})END</pre>", shown, re.DOTALL)
    assert match, shown[-500:]
    found = json.loads(match[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert found["faults"] == []
    assert found["requests"] == []
    assert found["sounds"] == pytest.approx([0.3] * 3, abs=0.05)
    assert all(found["images"])
    assert len(found["drawings"]) >= 6
    assert all(drawn > 100 for drawn in found["drawings"])
    assert found["wide"] <= found["window"]
    assert found["up"] == sorted(found["up"])
    assert found["down"] == found["up"][::-1]
    assert [s[1][:15] for s in found["saved"]] == ["data:text/csv;c", "data:image/svg+"]
    assert found["saved"][0][0].endswith(".csv")
