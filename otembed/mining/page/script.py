"""Styles and script of the page of mined pairs: the slider and the search. Without the script, all else is there."""

STYLE = """
.tools { display: grid; gap: .5rem; margin: 1rem 0 0; }
.tools[hidden], .pair[hidden] { display: none; }
.tools label { color: var(--soft); font-size: .875rem; }
.tools input { width: 100%; font: inherit; color: inherit; accent-color: var(--m1); }
.tools input[type=search] { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .45rem .7rem; }
.tools input:focus-visible { outline: 2px solid var(--m1); outline-offset: 2px; }
.tools output { min-height: 1.5em; }
.chart.tall svg { height: 12rem; overflow: hidden; }
.pairs { list-style: none; margin: 0; padding: 0; }
.pair { display: grid; grid-template-columns: 5.5rem minmax(0, 1fr); column-gap: 1rem; padding: .6rem 0; border-top: 1px solid var(--line); }
.pair p { margin: 0 0 .15rem; max-width: none; overflow-wrap: anywhere; grid-column: 2; }
.pair .score { grid-column: 1; grid-row: 1 / span 3; font-size: .875rem; }
.pair .ids { display: block; color: var(--soft); font-size: .75rem; overflow-wrap: anywhere; }
.pair.out { opacity: .5; }
.pair b { font-weight: inherit; text-decoration: underline 2px; text-underline-offset: .2em; text-decoration-skip-ink: none; }
.pair sub { font-size: .65em; color: var(--soft); line-height: 0; unicode-bidi: isolate; text-decoration: none; display: inline-block; }
.w0 { text-decoration-color: var(--m1) !important; } .w1 { text-decoration-color: var(--m3) !important; }
.w2 { text-decoration-color: var(--m2) !important; } .w3 { text-decoration-color: var(--m4) !important; }
.w4 { text-decoration-color: var(--worse) !important; } .w5 { text-decoration-color: var(--m5) !important; }
.cut { border-top: 2px solid var(--m1); color: var(--m1); font-size: .875rem; padding: .2rem 0 .5rem; margin-top: .6rem; }
@media (max-width: 46rem) {
  .pair { grid-template-columns: minmax(0, 1fr); }
  .pair .score, .pair p { grid-column: 1; grid-row: auto; }
  .pair .ids { display: inline; margin-left: .6rem; }
}
"""

SCRIPT = """
"use strict";
(function () {
  const data = JSON.parse(document.getElementById("mining").textContent);
  const items = Array.from(document.querySelectorAll(".pair"));
  const number = new Intl.NumberFormat("en-US");
  const counted = (count, unit) => number.format(count) + " " + unit + (count === 1 ? "" : "s");
  const slider = document.getElementById("slider");
  if (slider) {
    const says = document.getElementById("kept");
    const mark = document.getElementById("mark");
    const edges = data.histogram.edges;
    const low = edges[0], width = edges[edges.length - 1] - low;
    const move = function () {
      const [score, kept] = data.stops[Number(slider.value)];
      const at = Math.min(Math.max(100 * (score - low) / width, 0), 100);
      mark.setAttribute("x1", at);
      mark.setAttribute("x2", at);
      const share = (100 * kept / data.total).toFixed(1);
      let text = "At " + Number(score.toFixed(6)) + " or above: " + number.format(kept) + " of "
        + counted(data.total, "pair") + " (" + share + " %)";
      const curve = data.calibration ? data.calibration.curve : [];
      if (curve.length) {
        const near = curve.reduce((a, b) => Math.abs(b[0] - score) < Math.abs(a[0] - score) ? b : a);
        text += "; expected at " + near[0] + ": precision " + near[1].toFixed(3) + ", recall " + near[2].toFixed(3);
      }
      says.textContent = text;
      slider.setAttribute("aria-valuetext", text);
      for (const item of items) {
        item.classList.toggle("out", data.pairs[Number(item.dataset.pair)].score < score);
      }
    };
    slider.addEventListener("input", move);
    move();
  }
  const search = document.getElementById("search");
  if (search) {
    const found = document.getElementById("found");
    const texts = data.pairs.map((each) => (each.source + "\\n" + each.target + "\\n" + each.source_id + "\\n"
      + each.target_id).toLocaleLowerCase());
    const filter = function () {
      const wanted = search.value.trim().toLocaleLowerCase();
      let shown = 0;
      for (const item of items) {
        item.hidden = !texts[Number(item.dataset.pair)].includes(wanted);
        shown += item.hidden ? 0 : 1;
      }
      found.textContent = wanted ? number.format(shown) + " of " + counted(items.length, "pair") + " on this page" : "";
    };
    search.addEventListener("input", filter);
  }
  for (const tool of document.querySelectorAll(".tools")) {
    tool.hidden = false;
  }
})();
"""
